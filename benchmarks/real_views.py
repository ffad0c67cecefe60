"""How well moving people are recovered from one view of real footage that three other cameras saw too.

Run: python benchmarks/real_views.py FOLDER [--every 5] [--people 1] [--truth FILE.npz]. FOLDER: `Demo_SinglePerson` out
of the wheel of Pose2Sim (`pip download pose2sim --no-deps`; BSD-3): 100 frames of four calibrated cameras, synchronous;
or `Demo_MultiPerson` with `--people 2`: the same man, and a woman who was put before him and behind him. The truth is
made here: of each limb joint, the point in space that three or four views agree on to 20 px (3 to 4 cm), as told by
MediaPipe or MoveNet. In views from all sides the two err differently; of MediaPipe alone, which bends the shoulders of
a leaning man in most views alike, one joint in forty would be 6 cm off or more. Without MoveNet's files it has to do.
FILE.npz: another truth, `single_points` (100 x 12 x 3, metres) and `single_valid_20px` (100 x 12).

Prints how good the truth is; in how many single views they are found, and how many of the limb joints are told within
a tenth of their extent; for each of them PA-MPJPE over the limb joints of MediaPipe's landmarks and of the bodies,
posed by the lifter without and with the fit to the keypoints. The skeleton's joints and the detectors' are up to 3 cm
apart, but measured on the bodies' MediaPipe points the results were within 1 mm of these.
"""

from __future__ import annotations

import argparse
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.evaluation.metrics import aligned, point_errors
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.people import networks
from humesh.people.finder import PeopleFinder
from humesh.people.networks import Pyramid, Roi
from humesh.people.person import Person
from humesh.recover import Recoverer

_HERE, _TOLD = SMPL24.indices(*LIMBS12.names), MEDIAPIPE33.indices(*LIMBS12.names)
_AGREE = 20.0  # px; views that put a joint farther from the point in space are not believed
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


def views(calibration: Path, widths: Iterable[int]) -> np.ndarray:
    """The cameras `R 3 4` (metres of the world to pixels) of a Qualisys file, for videos of these widths.

    The demo's file was turned to upright, and whoever turned it took the principal points from the wrong edge: for the
    first camera the horizontal part, for the others the vertical. With both put right the four stickers on the
    treadmill are triangulated to 0.5 px, without to 8. Videos of 1,080 px are the sensor's 1,088 scaled down. What the
    lenses bend, less than 3 px, is left out: it moves the truth by 1 mm.
    """
    found = []
    for number, (camera, width) in enumerate(zip(ET.parse(calibration).getroot().iter("camera"), widths, strict=True)):
        pose, lens = camera.find("transform"), camera.find("intrinsic")
        assert pose is not None
        assert lens is not None
        focal, centre, sensor = (
            np.array([float(lens.attrib[f"{name}{axis}"]) for axis in "UV"]) / 64  # Qualisys counts 64ths of a pixel
            for name in ("focalLength", "centerPoint", "sensorMax")
        )
        sensor, wrong = sensor + 1, 0 if number == 0 else 1  # the file tells the last pixel
        centre[wrong] = sensor[wrong] - centre[wrong]
        scale = width / sensor[0]
        turn = np.array([[float(pose.attrib[f"r{i}{j}"]) for j in (1, 2, 3)] for i in (1, 2, 3)])
        place = np.array([float(pose.attrib[axis]) for axis in "xyz"]) / 1000
        # Qualisys has y up and z backward; the black rows above and below a narrower video keep its height.
        world = np.diag([1.0, -1.0, -1.0]) @ np.concatenate([turn, -(turn @ place)[:, None]], axis=1)
        centre = centre * scale + [0, sensor[1] * (1 - scale) / 2]
        lens_matrix = np.array([[focal[0] * scale, 0, centre[0]], [0, focal[1] * scale, centre[1]], [0, 0, 1]])
        found.append(lens_matrix @ world)
    return np.stack(found)


def projected(cameras: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels `R K 2` of points `K 3`."""
    seen = points @ cameras[:, :, :3].swapaxes(1, 2) + cameras[:, None, :, 3]
    return seen[..., :2] / seen[..., 2:]


def solved(equations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The points `K 3` that fulfil equations `R K 2 4` of R views, weights `R K`, best."""
    rows = equations * weights[..., None, None]
    normal = np.einsum("rkea,rkeb->kab", rows, rows)
    least = 1e-12 * np.trace(normal[:, :3, :3], axis1=1, axis2=2) + 1e-12  # some guesses are of no point at all
    return np.linalg.solve(normal[:, :3, :3] + least[:, None, None] * np.eye(3), -normal[:, :3, 3:])[..., 0]


def triangulated(cameras: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points `K 3` of pixels `D R K 2`, told by D detectors in R views, and the distances from them, px `D R K`.

    Any look may be wrong about any point: the best guess by three views is kept, then all looks near it have a say.
    """
    equations = pixels[..., None] * cameras[:, None, None, 2] - cameras[:, None, :2]  # D R K 2 4, homogeneous
    told, views, count = pixels.shape[:3]

    def apart(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(projected(cameras, points) - pixels, axis=-1)

    best, least = np.zeros((count, 3)), np.full(count, np.inf)
    for three in itertools.combinations(range(views), 3):
        for who in itertools.product(range(told), repeat=3):
            points = solved(equations[who, three], np.ones((3, count)))
            cost = (np.minimum(apart(points), _AGREE) ** 2).sum((0, 1))
            best, least = np.where((cost < least)[:, None], points, best), np.minimum(cost, least)
    for _ in range(10):  # least squares of the looks that agree, the farther ones weaker
        distance = apart(best)
        depth = cameras[:, 2, :3] @ best.T + cameras[:, 2, 3:]
        weights = np.where(distance < _AGREE, 1 / (1 + (distance / 6) ** 2), 1e-5) / depth
        best = solved(equations.reshape(-1, count, 2, 4), weights.reshape(-1, count))
    return best, apart(best)


def likeliest(
    cameras: np.ndarray, photos: tuple[Photo, ...], found: tuple[list[Person], ...], count: int
) -> list[np.ndarray]:
    """The limb joints' pixels `D R K 2` of the people whom the finds of all views can be, the likeliest ones first.

    Who is not found in one view is nowhere near in it.
    """
    nowhere = np.full((len(_TOLD), 2), 1e6)

    def limbs(choice: Iterable[Person | None]) -> np.ndarray:
        return np.stack([nowhere if one is None else np.asarray(one.keypoints)[_TOLD, :2] for one in choice])

    def doubt(choice: tuple[Person | None, ...]) -> float:
        return float(np.median(triangulated(cameras, limbs(choice)[None])[1]))

    everyone, left = [], [[*people, None] for people in found]
    for _ in range(count):
        who = min((each for each in itertools.product(*left) if each.count(None) <= 1), key=doubt)
        left = [[p for p in people if p is None or p is not one] for people, one in zip(left, who, strict=True)]
        told = [limbs(who)]
        looks = [
            nowhere
            if one is None
            else networks.thunder(Pyramid(photo.pixels), Roi.about(np.asarray(one.box), 1.1)).points[_TOLD, :2]
            for photo, one in zip(photos, who, strict=True)
        ]
        told.append(np.stack(looks))
        everyone.append(np.stack(told))
    return everyone


def in_space(cameras: np.ndarray, moments: Iterable[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Points `T P K 3` and distances `T P D R K` of everyone's pixels moment by moment; each stays near themselves."""
    everyone: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for pixels in moments:
        people = [triangulated(cameras, each) for each in pixels]
        if everyone:
            before = everyone[-1]

            def moved(order: tuple[tuple[np.ndarray, np.ndarray], ...]) -> float:
                return sum(np.linalg.norm(a[0] - b[0]) for a, b in zip(order, before, strict=True))  # noqa: B023

            people = list(min(itertools.permutations(people), key=moved))
        everyone.append(people)
    return tuple(np.stack([[person[part] for person in people] for people in everyone]) for part in (0, 1))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--truth", type=Path)
    arguments = parser.parse_args()
    videos = [Video(path, stride=arguments.every) for path in sorted((arguments.folder / "videos").glob("cam*.mp4"))]
    cameras = views(next(arguments.folder.glob("calibration/*.qca.txt")), [video.size[0] for video in videos])
    finder = PeopleFinder()
    photos = [[Photo.of(frame.pixels) for frame in video] for video in videos]
    found = [[finder(photo) for photo in each] for each in photos]
    moments = zip(zip(*photos, strict=True), zip(*found, strict=True), strict=True)
    truth, apart = in_space(cameras, (likeliest(cameras, *moment, arguments.people) for moment in moments))
    sure = (apart < _AGREE).any(2).sum(2) >= 3  # T P K
    recoverers = {"lifter": Recoverer(finder=finder, refine=False), "lifter, fit": Recoverer(finder=finder)}
    for number in range(arguments.people):
        points, known, far = truth[:, number], sure[:, number], apart[:, number]
        told = far[(far < _AGREE) & known[:, None, None]]
        print(f"{known.mean():.1%} of {known.size} joints known; median {np.median(told):.1f} px, 90 % within ", end="")
        print(f"{np.percentile(told, 90):.1f} px; a limb's length varies by {100 * _unsteady(points, known):.1f} %")
        if arguments.truth:
            with np.load(arguments.truth) as other:
                theirs, valid = (other[name][:: arguments.every] for name in ("single_points", "single_valid_20px"))
            shared = known & valid
            print(
                f"from the other truth {1000 * np.linalg.norm(theirs - points, axis=-1)[shared].mean():.1f} mm; that:"
            )
            points, known = theirs, valid
        report(cameras, photos, found, points, known, recoverers)


def report(
    cameras: np.ndarray,
    photos: list[list[Photo]],
    found: list[list[list[Person]]],
    truth: np.ndarray,
    known: np.ndarray,
    recoverers: dict[str, Recoverer],
) -> None:
    """Prints how well somebody with that truth `T K 3` is found and recovered in each view."""
    errors: dict[str, list[float]] = {}
    near: list[np.ndarray] = []
    for camera, pictures, people in zip(cameras, photos, found, strict=True):
        for photo, here, points, sure in zip(pictures, people, truth, known, strict=True):
            who, close = _found(projected(camera[None], points)[0], sure, here)
            near.append(close[sure])
            if who is None:
                continue
            if who.landmarks3d is not None:
                errors.setdefault("landmarks", []).append(_aligned_mm(who.landmarks3d[_TOLD], points, sure))
            for name, recoverer in recoverers.items():
                made = recoverer(photo, [who])
                errors.setdefault(name, []).append(_aligned_mm(made.bodies.joints[0, _HERE].numpy(), points, sure))
    share = 100 * np.concatenate(near).mean()
    print(f"found in {len(errors['lifter'])} of {len(near)} views; {share:.1f} % of the joints within a tenth")
    for name, each in errors.items():
        print(f"{name:12} PA-MPJPE {np.mean(each):6.1f} mm, median {np.median(each):6.1f} mm, of {len(each)}")


def _unsteady(points: np.ndarray, known: np.ndarray) -> float:
    """How much the lengths of the limbs vary from frame to frame: standard deviation over mean, mean of all limbs."""
    shares = []
    for side, (inner, outer) in itertools.product(("left", "right"), _LIMBS):
        ends = LIMBS12.indices(f"{side}_{inner}", f"{side}_{outer}")
        lengths = np.linalg.norm(points[:, ends[0]] - points[:, ends[1]], axis=-1)[known[:, ends].all(1)]
        shares.append(lengths.std() / lengths.mean())
    return float(np.mean(shares))


def _found(true: np.ndarray, sure: np.ndarray, people: list[Person]) -> tuple[Person | None, np.ndarray]:
    """Who has the most limb joints within a tenth of the true one's extent, and which; None: below half."""
    extent = float(np.ptp(true[sure], axis=0).max())
    best, close = None, np.zeros(len(true), dtype=bool)
    for person in people:
        assert person.keypoints is not None
        here = np.linalg.norm(person.keypoints[_TOLD, :2] - true, axis=1) < 0.1 * extent
        if here[sure].sum() > close[sure].sum():
            best, close = person, here
    return (best, close) if close[sure].mean() >= 0.5 else (None, np.zeros_like(close))


def _aligned_mm(made: np.ndarray, true: np.ndarray, sure: np.ndarray) -> float:
    """PA-MPJPE of the joints that are known, in mm."""
    source, target = torch.as_tensor(made).double()[None], torch.as_tensor(true)[None]
    moved = aligned(source, target, torch.as_tensor(sure)[None])
    return 1000 * float(point_errors(moved, target)[0, torch.as_tensor(sure)].mean())


if __name__ == "__main__":
    main()
