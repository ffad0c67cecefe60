"""How well moving people are recovered from rendered videos, frame by frame and smoothed.

Run: python benchmarks/video_accuracy.py CLIPS.npz [--videos 8] [--frames 60] [--size 360] [--weights NAME ...].
The videos are rendered (people one or two, known truth), written as MP4 and read back as a user's would be; people are
found and followed by MediaPipe. Prints, for several amounts of smoothing: PA-MPJPE and acceleration error over 12 limb
joints where a found person overlaps a labelled one, the share of labelled people found, and identity switches.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from humesh.body.joints import JOTR30, LIMBS12, SMPL24
from humesh.data.sample import Sample
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.evaluation.metrics import acceleration_error, pa_mpjpe
from humesh.geometry.boxes import box_iou
from humesh.media.film import Film
from humesh.media.video import Video
from humesh.people.finder import PeopleFinder
from humesh.people.person import VideoDetections
from humesh.people.video_people import VideoPeople
from humesh.recover import Recoverer
from humesh.recover_video import pose_video, track_people
from humesh.scene.result import VideoResult
from humesh.video_options import VideoOptions

_HERE, _THERE = SMPL24.indices(*LIMBS12.names), JOTR30.indices(*LIMBS12.names)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, default=360)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--weights", nargs="*", default=["lifter", "lifter_video"])
    parser.add_argument("--fast", action="store_true", help="the finder's faster networks")
    parser.add_argument("--no-refine", action="store_true", help="without the fit to each frame's keypoints")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--smooth", type=float, nargs="*", default=[0.0, 0.04, 0.06, 0.08, 0.12, 0.2])
    arguments = parser.parse_args()
    count = arguments.videos * arguments.frames
    people = SyntheticPeople(
        [arguments.motion], count, people=(1, 2), size=arguments.size, seed=arguments.seed, frames=arguments.frames
    )
    refine = not arguments.no_refine
    finder = PeopleFinder(fast=arguments.fast)
    recoverers = {weights: Recoverer(finder=finder, weights=weights, refine=refine) for weights in arguments.weights}
    rows: dict[tuple[str, float], list[tuple[float, float, int, int]]] = {
        (weights, smooth): [] for weights in arguments.weights for smooth in arguments.smooth
    }
    switched = labelled = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.videos):
            samples = [people[i] for i in range(number * arguments.frames, (number + 1) * arguments.frames)]
            path = Path(folder) / f"{number}.mp4"
            with Film(path, samples[0].photo.size, arguments.fps) as film:
                for frame, sample in enumerate(samples):
                    film.write(sample.photo.pixels, frame / arguments.fps)
            video, camera = Video(path), samples[0].photo.camera
            sightings = VideoDetections()
            for _ in track_people(video, VideoPeople(finder), sightings, camera):
                pass
            whose = _owners(samples, sightings)
            labelled += sum(len(sample.people) for sample in samples)
            switched += sum(len(tracks) - 1 for tracks in whose.values() if tracks)
            for (weights, smooth), found in rows.items():
                settings = VideoOptions(smooth_s=smooth)
                found += _errors(
                    pose_video(video, sightings, recoverers[weights], settings, camera), samples, whose, arguments.fps
                )
    print(
        f"{arguments.videos} videos of {arguments.frames} frames, {labelled} labelled people; "
        f"{'fast' if arguments.fast else 'accurate'} finder; {switched} identity switches"
        f"{'; no fit' * arguments.no_refine}"
    )
    print("weights      smoothing s   PA-MPJPE mm   acceleration error m/s2   found %")
    for (name, smooth), found in rows.items():
        weight = np.array([row[2] for row in found], dtype=np.float64)
        aligned, shaking = (float(np.average([row[k] for row in found], weights=weight)) for k in (0, 1))
        share = 100 * weight.sum() / labelled
        print(f"{name[-12:]:12} {smooth:11.2f}   {aligned:11.1f}   {shaking:23.2f}   {share:7.1f}")


def _owners(samples: list[Sample], sightings: VideoDetections) -> dict[int, dict[int, int]]:
    """For each labelled person (by identity) how many frames each track was on it."""
    whose: dict[int, dict[int, int]] = {}
    for sample, seen in zip(samples, sightings.people, strict=True):
        for person in sample.people:
            tracks = whose.setdefault(person.identity, {})
            if seen:
                alike = box_iou(
                    torch.from_numpy(person.seen.box), torch.from_numpy(np.array([one.box for one in seen]))
                )
                if alike.max() > 0.4:
                    track = seen[int(alike.argmax())].track or 0
                    tracks[track] = tracks.get(track, 0) + 1
    return whose


def _errors(
    recovery: VideoResult, samples: list[Sample], whose: dict[int, dict[int, int]], fps: float
) -> list[tuple[float, float, int, int]]:
    """(PA-MPJPE mm, acceleration error m/s2, frames, track) of each motion that is somebody's."""
    answers = []
    for identity, tracks in whose.items():
        for motion in recovery.tracks:
            if tracks.get(motion.track, 0) < 0.5 * len(motion.frames):
                continue
            true = {
                int(frame): person.points3d[_THERE]
                for frame in motion.frames
                for person in samples[frame].people
                if person.identity == identity
            }
            rows = [row for row, frame in enumerate(motion.frames.tolist()) if frame in true]
            if len(rows) < 3:
                continue
            wanted = torch.stack([true[int(motion.frames[row])] for row in rows])
            made = recovery.body.joints(motion.pose)[rows][:, _HERE]
            aligned = 1000 * float(pa_mpjpe(made, wanted).mean())
            # Relative to the middle of the joints: what a guessed depth does is no shaking of the body.
            inner, outer = (points - points.mean(1, keepdim=True) for points in (made, wanted))
            answers.append((aligned, float(acceleration_error(inner, outer, fps).mean()), len(rows), motion.track))
    return answers


if __name__ == "__main__":
    main()
