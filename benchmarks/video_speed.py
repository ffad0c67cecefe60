"""Where the time of a video goes: reading, finding and following people, poses, pictures, writing.

Run: python benchmarks/video_speed.py CLIPS.npz [--frames 90] [--video FILE]. Without a file two people are rendered,
as large as they fit into 640 x 360. Prints milliseconds a frame of each part, alone, and frames a second of the whole
command's path, in which pictures are drawn by several threads.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.media.film import Film
from humesh.media.video import Video, letterboxed
from humesh.people.finder import PeopleFinder
from humesh.people.person import VideoDetections
from humesh.people.video_people import VideoPeople
from humesh.recover import Recoverer
from humesh.recover_video import pose_video, track_people
from humesh.scene.pictures import MotionPictures, write_film

_SIZE = (640, 360)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--weights", default="lifter_video")
    parser.add_argument("--no-refine", action="store_true", help="without the fit to each frame's keypoints")
    parser.add_argument("--fast", action="store_true", help="the faster finder")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    finder = PeopleFinder(fast=arguments.fast)
    recoverer = Recoverer(weights=arguments.weights, finder=finder, refine=not arguments.no_refine)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.video or Path(folder) / "made.mp4"
        if arguments.video is None:
            _make(path, arguments)
        video = Video(path, end_s=arguments.frames / arguments.fps if arguments.video else None)
        next(iter(VideoPeople(recoverer.finder)(_first(video), 0.0)), None)  # loads the models
        parts: dict[str, float] = {}

        def timed(name: str, start: float) -> float:
            parts[name] = time.perf_counter() - start
            return time.perf_counter()

        begin = now = time.perf_counter()
        detections = VideoDetections()
        for _ in track_people(video, VideoPeople(recoverer.finder), detections):
            pass
        now = timed("people (with reading)", now)
        recovery = pose_video(video, detections, recoverer)
        now = timed("poses (with reading)", now)
        write_film(recovery, Path(folder) / "film.mp4")
        now = timed("film: drawing and writing (with reading)", now)
        recovery.save(Path(folder) / "clip", ("glb", "npz"))
        now = timed("GLB and NPZ", now)
        whole = now - begin
        for _ in video:
            pass
        now = timed("reading alone", now)
        pictures = MotionPictures(recovery)
        drawn = [pictures(frame) for frame in recovery.frames]
        timed("drawing alone, one thread after the other", now)
    count = len(drawn)
    people = sum(len(motion.frames) for motion in recovery.tracks) / count
    print(
        f"{count} frames of {video.size[0]} x {video.size[1]}, {people:.1f} people a frame; "
        f"weights {arguments.weights}{', fast finder' * arguments.fast}{', no fit' * arguments.no_refine}"
    )
    for name, seconds in parts.items():
        print(f"{1000 * seconds / count:8.1f} ms a frame  {name}")
    print(
        f"{count / whole:8.1f} frames a second, all together; peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB"
    )


def _first(video: Video):
    from humesh.media.photo import Photo

    return Photo.of(next(iter(video)).pixels)


def _make(path: Path, arguments: argparse.Namespace) -> None:
    """Two people, from a rendered video, fitted into the frame."""
    people = SyntheticPeople(
        [arguments.motion], arguments.frames, people=(2, 2), size=_SIZE[0], seed=arguments.seed, frames=arguments.frames
    )
    with Film(path, _SIZE, arguments.fps) as film:
        for frame in range(arguments.frames):
            film.write(np.ascontiguousarray(letterboxed(people[frame].photo.pixels, _SIZE)), frame / arguments.fps)


if __name__ == "__main__":
    main()
