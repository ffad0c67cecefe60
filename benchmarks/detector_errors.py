"""What PeopleFinder says of people whose truth is known, beside what the simulated detector says of them.

Run: python benchmarks/detector_errors.py POSES.npz [--photos 400] [--found FOUND.npz] [--backgrounds FOLDER]
or   python benchmarks/detector_errors.py --real FOLDER [--sets NAME ...] [--harder 1] [--found FOUND.npz].
FOLDER: labelled photographs, as `tools/calibrate_points.py` takes them; points without a label are taken to be where
the finder has them, and are not compared. --sets: only these, and they count alike. --harder: of the simulation.
POSES.npz: the project's motion file (`poses`, N x 24 x 3 axis-angle in radians, y up; `sequence_id`, `seq_category`).
Each 512 px photo shows one or two bodies of random shape, pose (all kinds of motion alike), side and colours, 80 to
450 px tall, over a photo, a texture or noise, some cut off by the edge, with patches in front. FOUND.npz keeps what
was found, so that a second run only compares. Errors are in hundredths of the person's size (the longer side of the
box around all its true points).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image
from rich.progress import track
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.detector_errors import (
    DetectorErrors,
    is_from_behind,
    joint_kind,
    simulate_keypoints,
    simulated_person,
)
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
from humesh.people.person import Person, box_around_keypoints
from humesh.scene.render import Stage

SIDE = 512
SCENERY = (
    "brick.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "ihc.png",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
)
"""Pictures of scikit-image without people, taken as backgrounds where no folder is given."""
HIDDEN_BEHIND = np.where(["hip" in name for name in MEDIAPIPE33.names], 0.2, 0.12)
"""A joint is hidden if the surface before it is so many metres nearer; limbs are half as thick, hips are not."""
KINDS = np.array([joint_kind(name) for name in MEDIAPIPE33.names])
HIDDEN = 0.1
"""Of how many people a limb is hidden in photographs, where labels do not tell: low confidences are as rare as if."""
LIMB_OF = [
    (kind in ("elbow", "wrist", "hand")) * (1 + ("left" in name))
    + (kind in ("knee", "ankle", "foot")) * (3 + ("left" in name))
    for name, kind in zip(MEDIAPIPE33.names, KINDS, strict=True)
]
NOBODY = Person(np.zeros(4), 0.0, np.zeros((33, 3)), MEDIAPIPE33)
Record = dict[str, np.ndarray]


def random_pose(motions: dict[str, np.ndarray], rng: np.random.Generator) -> BodyPose:
    """A body of any kind of motion, seen from any side, before its place in the photo is chosen; float64."""
    kinds = motions["seq_category"][motions["sequence_id"]]
    chosen = rng.choice(np.flatnonzero(kinds == rng.choice(np.unique(kinds))))
    rotations = rotation_from_axis_angle(torch.tensor(motions["poses"][chosen].astype(np.float64)))
    turns = torch.diag(torch.tensor([rng.normal(0.1, 0.25), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.1)])).double()
    pitch, yaw, roll = rotation_from_axis_angle(turns)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()
    rotations[0] = upright @ roll @ pitch @ yaw @ rotations[0]
    return BodyPose(rotations, torch.tensor(rng.normal(size=10)), torch.zeros(3).double())


def paints(body: BodyModel, rng: np.random.Generator) -> np.ndarray:
    """V 3: skin, hair, a shirt, trousers and shoes of random colours and lengths, eyes and a mouth; sRGB 0..1."""
    rest = body.data.template
    part = np.array(SMPL24.names)[body.data.weights.argmax(1)]
    skin = np.array([0.9, 0.72, 0.6]) * rng.uniform(0.35, 1)
    colours = np.tile(skin, (len(rest), 1))
    trunk = ["pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar", "left_shoulder", "right_shoulder"]
    shirt = trunk + (["left_elbow", "right_elbow"] if rng.random() < 0.6 else [])
    trousers = ["pelvis", "left_hip", "right_hip"] + (["left_knee", "right_knee"] if rng.random() < 0.7 else [])
    for parts in (shirt, trousers, ["left_ankle", "right_ankle", "left_foot", "right_foot"]):
        colours[np.isin(part, parts)] = rng.uniform(0.05, 1, 3) if rng.random() < 0.7 else rng.uniform(0.05, 1)
    names = MEDIAPIPE33.names
    face = dict(zip(names, body.keypoints(torch.tensor(rest).double(), MEDIAPIPE33).numpy(), strict=True))
    head = part == "head"
    ears = (face["left_ear"] + face["right_ear"]) / 2
    hair = head & ((rest[:, 2] < ears[2]) | (rest[:, 1] > face["left_eye"][1] + 0.05))
    colours[hair] = rng.uniform(0.02, 0.6) * np.array([1, 0.8, 0.6])
    for spot, size, colour in (("left_eye", 0.014, 0.05), ("right_eye", 0.014, 0.05)):
        colours[head & (np.linalg.norm(rest - face[spot], axis=1) < size)] = colour
    mouth = (face["mouth_left"] + face["mouth_right"]) / 2
    colours[head & (np.abs(rest - mouth) < [0.022, 0.008, 0.03]).all(1)] = skin * [0.9, 0.45, 0.45]
    return colours


def backdrop(pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A piece of a picture, mirrored and brightened at random, or smooth noise; uint8 SIDE SIDE 3."""
    if rng.random() < 0.2:
        noise = gaussian_filter(rng.normal(size=(SIDE, SIDE, 3)), (*[rng.uniform(2, 40)] * 2, 0.5))
        return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    picture = pictures[rng.integers(len(pictures))]
    side = int(min(picture.shape[:2]) * rng.uniform(0.5, 1))
    y, x = (rng.integers(length - side + 1) for length in picture.shape[:2])
    at = np.arange(SIDE) * side // SIDE
    piece = picture[y + at][:, x + at[:: rng.choice([-1, 1])]]
    return np.clip(piece * rng.uniform(0.6, 1.2), 0, 255).astype(np.uint8)


def scene(
    body: BodyModel, motions: dict[str, np.ndarray], pictures: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, Record]:
    """A photo with one or two people and what is true of them: points P 33 2, visible P 33, box P 4."""
    camera = Camera.virtual(SIDE * rng.uniform(0.8, 2), (SIDE, SIDE))
    focal, count = float(camera.focal_px), 1 + int(rng.random() < 0.5)
    size = np.exp(rng.uniform(np.log(80), np.log(450)))
    vertices, points, paint = [], [], []
    for person in range(count):
        bodies = body(random_pose(motions, rng))
        middle = bodies.vertices.mean(0)
        if person == 0 or rng.random() < 0.3:  # anywhere; else beside, behind or before the first
            px = rng.uniform(0.15, 0.85, 2) * SIDE
            px = px if rng.random() < 0.3 else np.clip(px, size / 2, np.maximum(SIDE - size / 2, SIDE / 2))
        else:
            px = px + rng.normal(0, 0.35, 2) * size * [1, 0.3]
        depth = 1.7 * focal / (size * np.exp(rng.normal(0, 0.15)))
        place = torch.tensor([*((px - SIDE / 2) / focal * depth), depth])
        vertices.append(bodies.vertices - middle + place)
        points.append(body.keypoints(bodies.vertices, MEDIAPIPE33) - middle + place)
        paint.append(paints(body, rng))
    meshes, joints = torch.stack(vertices), torch.stack(points)
    picture = Stage(meshes, bodies.faces, np.full((count, 3), 0.95)).render(camera, (SIDE, SIDE))
    rgba = picture.rgba.astype(np.float64)
    rows, columns = np.nonzero(rgba[..., 3])
    centres = torch.tensor(np.stack([columns, rows], axis=-1) + 0.5)
    far = picture.depth[rows, columns]
    behind = np.isinf(far)  # pixels of the silhouette's rim, whose own ray hits nothing: the colour nearest in depth
    hits = camera.rays(centres).numpy() * np.where(behind, float(joints[..., 2].mean()), far)[:, None]
    nearest = cKDTree(meshes.reshape(-1, 3).numpy()).query(hits)[1]
    rgba[rows, columns, :3] *= np.concatenate(paint)[nearest]
    cover = rgba[..., 3:] / 255
    photo = backdrop(pictures, rng) * (1 - cover) + rgba[..., :3] * cover
    pixels = camera.project(joints).numpy()
    hidden = np.zeros((SIDE, SIDE), bool)
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1) + 0.5
    if rng.random() < 0.5:  # patches of other pictures in front: boxes and ellipses
        for _ in range(rng.integers(1, 4)):
            centre = pixels[rng.integers(count), rng.integers(33)] + rng.normal(0, 0.1, 2) * size
            turn = rng.uniform(0, np.pi)
            axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            away = np.abs((grid - centre) @ axes) / (size * np.exp(rng.uniform(np.log(0.05), np.log(0.3), 2)))
            patch = (away.max(-1) if rng.random() < 0.5 else np.linalg.norm(away, axis=-1)) < 1
            photo[patch] = backdrop(pictures, rng)[patch]
            hidden |= patch
    photo = gaussian_filter(photo, (*[rng.uniform(0, 1)] * 2, 0)) + rng.normal(0, rng.uniform(0, 6), photo.shape)
    inside = ((pixels >= 0) & (pixels < SIDE)).all(-1)
    at = np.clip(pixels, 0, SIDE - 1).astype(int)
    front = picture.depth[at[..., 1], at[..., 0]]
    seen = inside & ~hidden[at[..., 1], at[..., 0]] & (front > joints[..., 2].numpy() - HIDDEN_BEHIND)
    outline = camera.project(meshes).numpy()
    box = np.clip(np.concatenate([outline.min(1), outline.max(1)], axis=-1), 0, SIDE)
    return np.clip(photo, 0, 255).astype(np.uint8), {"points": pixels, "visible": seen.astype(float), "box": box}


def found_people(poses: str, photos: int, pictures: list[np.ndarray]) -> Record:
    """What is true of the rendered people and what PeopleFinder says of them; `found` 0 where it says nothing."""
    with np.load(poses, allow_pickle=False) as file:
        motions = {name: file[name] for name in ("poses", "sequence_id", "seq_category")}
    body, records = BodyModel.load("open"), []
    finder = PeopleFinder()
    for number in track(range(photos), "photos"):
        photo, truth = scene(body, motions, pictures, np.random.default_rng(number))
        for i, best in enumerate(finds_of(truth["points"], finder(Photo.of(photo)))):
            others = np.delete(truth["points"], i, axis=0)
            records.append({
                **{name: values[i] for name, values in truth.items()},
                "other": others[0] if len(others) else np.full((33, 2), np.nan),
                "photo": np.array([SIDE, SIDE]),
                "labelled": np.ones(33, bool),
                **as_record(best),
            })  # fmt: skip
    return stacked(records)


def found_in(folder: Path) -> Record:
    """What is labelled in photographs and what PeopleFinder says of it, as `found_people`; visible: not known, NaN."""
    records, finder = [], PeopleFinder()
    for picture in track(json.loads((folder / "labels.json").read_text()), "photographs"):
        photo, labels = Photo.read(folder / picture["image"]), np.full((len(picture["people"]), 33, 2), np.nan)
        for points, person in zip(labels, picture["people"], strict=True):
            named = {name: at for name, at in person["joints2d_px"].items() if name in LIMBS12.names}
            points[MEDIAPIPE33.indices(*named)] = np.array(list(named.values())).reshape(-1, 2)
        labels = labels[np.isfinite(labels[..., 0]).sum(1) >= 6]
        labelled, best = np.isfinite(labels[..., 0]), finds_of(labels, finder(photo))
        whole = np.where(labelled[..., None], labels, [np.asarray(find.keypoints)[:, :2] for find in best])
        for i, points in enumerate(whole):
            others = [whole[j] for j in range(len(whole)) if j != i and best[j] is not NOBODY]
            nearest = min(
                others, key=lambda other: np.linalg.norm(other - points, axis=-1).mean(), default=points * np.nan
            )
            records.append({
                "points": points,
                "visible": np.full(33, np.nan),
                "box": box_around_keypoints(np.concatenate([points, np.ones((33, 1))], axis=1), *photo.size),
                "other": nearest,
                "photo": np.array(photo.size),
                "labelled": labelled[i],
                "set": np.array(picture["set"]),
                **as_record(best[i]),
            })  # fmt: skip
    return stacked(records)


def finds_of(truths: np.ndarray, people: list[Person]) -> list[Person]:
    """The find of each of P people (P 33 2, NaN: not known), NOBODY for whom there is none."""
    answer = []
    for i, points in enumerate(truths):
        own = [person for person in people if is_of(person, points, np.delete(truths, i, axis=0))]
        answer.append(min(own, key=lambda person: apart(person, points)) if own else NOBODY)
    return answer


def as_record(person: Person) -> Record:
    """The part of a record that the finder says."""
    return {
        "found": np.array(float(person is not NOBODY)),
        "keypoints": np.asarray(person.keypoints),
        "jotr_box": person.box,
        "score": np.array(person.score),
    }


def stacked(records: list[Record]) -> Record:
    return {name: np.stack([record[name] for record in records]) for name in records[0]}


def size_of(points: np.ndarray) -> np.ndarray:
    """The longer side of the box around points `* K 2`, px."""
    return (np.nanmax(points, axis=-2) - np.nanmin(points, axis=-2)).max(-1)


def apart(person: Person, points: np.ndarray) -> float:
    """How far a find is from a person, in its size: the limbs' mean error, each at most half; sides may be swapped."""
    limbs, seen = MEDIAPIPE33.indices(*LIMBS12.names), np.asarray(person.keypoints)
    both = (limbs, [MEDIAPIPE33.mirror[limb] for limb in limbs])
    away = [np.linalg.norm(seen[order, :2] - points[limbs], axis=-1) / size_of(points) for order in both]
    return float(min(np.nanmean(np.minimum(each, 0.5)) for each in away))


def is_of(person: Person, points: np.ndarray, others: np.ndarray) -> bool:
    """Whether a find is of the person with these points rather than of one of the others or of nobody."""
    return apart(person, points) < min([0.2, *(apart(person, other) for other in others)])


def simulated(records: Record, errors: DetectorErrors, times: int = 10) -> Record:
    """The records of the people that were found, each many times, with what the simulated detector says instead."""
    rng, people = np.random.default_rng(0), []
    kept = {name: np.repeat(values[records["found"] > 0], times, axis=0) for name, values in records.items()}
    drawn = rng.random((len(kept["points"]), 5))[:, LIMB_OF] >= HIDDEN
    kept["visible"] = np.where(np.isnan(kept["visible"]), drawn, kept["visible"])
    names = ("points", "visible", "other", "photo")
    for points, visible, other, size in zip(*(kept[name] for name in names), strict=True):
        others = other[None, None][:, : 0 if np.isnan(other).any() else 1]
        found = simulate_keypoints(points[None], visible[None], MEDIAPIPE33, others, tuple(size), errors, rng)
        people.append(simulated_person(found.keypoints[0], MEDIAPIPE33, tuple(size)))
    return {
        **kept,
        "keypoints": np.stack([np.asarray(person.keypoints) for person in people]),
        "jotr_box": np.stack([person.box for person in people]),
        "score": np.array([person.score for person in people]),
    }


def statistics(records: Record) -> dict[str, dict[str, float]]:
    """Tables of what a detector said of the people it found: table -> line -> number."""
    r = {name: values[records["found"] > 0] for name, values in records.items()}
    points, seen, confidence, size = r["points"], r["keypoints"][..., :2], r["keypoints"][..., 2], size_of(r["points"])
    mirror, index = list(MEDIAPIPE33.mirror), MEDIAPIPE33.index
    scale = 100 / size[:, None]  # hundredths of the person

    def away(theirs: np.ndarray) -> np.ndarray:
        return np.linalg.norm(seen - theirs, axis=-1) * scale

    error, crossed, photo = away(points), away(points[:, mirror]), r["photo"][:, None]
    labelled, inside = r["labelled"], ((points >= 0) & (points < photo)).all(-1)
    visible, hidden = r["visible"] > 0, (r["visible"] == 0) & inside
    where = {"seen": visible, "hidden": hidden, "outside": ~inside, "all": inside}
    where = {name: chosen & labelled for name, chosen in where.items()}
    wide = np.linalg.norm(points - points[:, mirror], axis=-1) * scale

    def both(*joints: str) -> list[int]:
        return MEDIAPIPE33.indices(*(f"{side}_{joint}" for joint in joints for side in ("left", "right")))

    def mean(values: np.ndarray, joints: list[int]) -> np.ndarray:
        """Of the joints that are labelled on both sides; 0 if none is."""
        both_sides = (labelled & labelled[:, mirror])[:, joints]
        return np.where(both_sides, values[:, joints], 0).sum(1) / np.maximum(both_sides.sum(1), 1)

    def exchanged(joints: list[int]) -> np.ndarray:
        return mean(crossed, joints) < 0.5 * mean(error, joints)

    limbs, arms, legs = (
        MEDIAPIPE33.indices(*LIMBS12.names),
        both("elbow", "wrist"),
        both("knee", "ankle"),
    )
    told = {name: mean(wide, joints) > 8 for name, joints in (("all", limbs), ("arms", arms), ("legs", legs))}
    turned = exchanged(limbs)
    behind = np.array([is_from_behind(each, np.array(both("shoulder", "hip"))) for each in points])
    swaps = {
        "whole body, from the front": turned[told["all"] & ~behind],
        "whole body, from behind": turned[told["all"] & behind],
        "arms only": (exchanged(arms) & ~turned)[told["arms"]],
        "legs only": (exchanged(legs) & ~turned)[told["legs"]],
    }
    # errors are counted without the swaps, which have chances of their own
    straight = ~(turned | exchanged(arms) | exchanged(legs))[:, None]
    neighbour = np.minimum(away(r["other"]), away(r["other"][:, mirror]))
    for name, *joints in (("arm", "elbow", "wrist"), ("leg", "knee", "ankle")):
        copies, neighbours, seen_too = [], [], []
        for side in ("left", "right"):
            own = [index(f"{side}_{joint}") for joint in joints]
            unseen, wrong = hidden[:, own].all(1), error[:, own].mean(1) > 10
            copies.append((wrong & (crossed[:, own].mean(1) < 6) & (wide[:, own].mean(1) > 8))[unseen])
            near = np.linalg.norm(points[:, own] - r["other"][:, own], axis=-1).mean(1) * scale[:, 0] < 40
            near &= labelled[:, own].all(1)
            lost = wrong & (neighbour[:, own].mean(1) < 6)
            neighbours.append(lost[near & unseen])
            seen_too.append(lost[near & ~unseen])
        swaps[f"hidden {name} seen where the other is"] = np.concatenate(copies)
        swaps[f"hidden {name} seen where a neighbour's is"] = np.concatenate(neighbours)
        swaps[f"other {name} seen where a neighbour's is"] = np.concatenate(seen_too)
    measures = {
        "median error": lambda these: np.median(error[these]),
        "error at 90 %": lambda these: np.quantile(error[these], 0.9),
        "% within 5": lambda these: 100 * np.mean(error[these] < 5),
        "% within 10": lambda these: 100 * np.mean(error[these] < 10),
        "mean confidence": lambda these: confidence[these].mean(),
    }
    tables: dict[str, dict[str, float]] = {name: {} for name in measures}
    for kind in [*dict.fromkeys(KINDS), "limb joints"]:
        of_kind = np.isin(np.arange(33), limbs) if kind == "limb joints" else kind == KINDS
        for place, chosen in where.items():
            these = chosen & of_kind & straight
            if these.sum() >= 20:
                for name, measure in measures.items():
                    tables[name][f"{kind}, {place}"] = float(measure(these))
    tables["hidden"] = {kind: float(hidden[:, kind == KINDS].mean()) for kind in dict.fromkeys(KINDS)}
    tables["correlation of errors"] = {}
    offset = np.where((straight & labelled)[..., None], np.clip((seen - points) * scale[..., None], -30, 30), np.nan)
    for joint, parent in (
        *(("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index")),
        *(("hip", "knee"), ("knee", "ankle"), ("ankle", "heel")),
    ):
        pair = [offset[:, both(name)].ravel() for name in (joint, parent)]
        keep = ~np.isnan(pair).any(0)
        if keep.any():
            between = np.corrcoef(pair[0][keep], pair[1][keep])[0, 1]
            tables["correlation of errors"][f"{joint} and {parent}"] = float(between)
    swaps = {name: cases for name, cases in swaps.items() if len(cases)}
    tables["chance in %"] = {name: 100 * float(np.mean(cases)) for name, cases in swaps.items()}
    tables["cases"] = {name: len(cases) for name, cases in swaps.items()}
    tables["mean confidence by error"] = {}
    told_inside = ((seen >= 0) & (seen <= photo)).all(-1)
    for place in ("seen", "hidden", "all"):
        for low, high in ((0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 100)):
            these = where[place] & straight & told_inside & (error >= low) & (error < high)
            if these.any():
                tables["mean confidence by error"][f"{place}, {low} to {high}"] = float(confidence[these].mean())
    chosen = where["all"][:, limbs] & (confidence[:, limbs] > 0)
    sure, right = confidence[:, limbs][chosen], error[:, limbs][chosen] < 10
    tables["confidence of limb joints"] = {f"quantile {q}": float(np.quantile(sure, q)) for q in (0.05, 0.1, 0.25, 0.5)}
    tables["% within 10 by confidence"] = {
        f"{low} to {high}": 100 * float(right[(sure > low) & (sure <= high)].mean())
        for low, high in ((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1))
        if ((sure > low) & (sure <= high)).any()
    }
    tables["score of the person"] = {f"quantile {q}": float(np.quantile(r["score"], q)) for q in (0.1, 0.5, 0.9)}
    if "set" in r:
        return tables  # the true box is not known
    by_side = (r["jotr_box"] - r["box"]) * scale
    tables["box side, mean error"] = dict(zip(("left", "top", "right", "bottom"), by_side.mean(0), strict=True))
    tables["box side, mean absolute error"] = dict(
        zip(("left", "top", "right", "bottom"), np.abs(by_side).mean(0), strict=True)
    )
    return tables


def main() -> None:
    """Prints every table, measured beside simulated, with `harder` as given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("poses", nargs="?")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--harder", type=float, default=1.0)
    parser.add_argument("--found", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    arguments = parser.parse_args()
    if arguments.found and arguments.found.exists():
        records = dict(np.load(arguments.found, allow_pickle=False))
    elif arguments.real:
        records = found_in(arguments.real)
    else:
        folder = arguments.backgrounds or Path(skimage.__file__).parent / "data"
        paths = sorted(path for path in folder.iterdir() if path.name in SCENERY or arguments.backgrounds)
        pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
        records = found_people(arguments.poses, arguments.photos, pictures)
    if arguments.found and not arguments.found.exists():
        np.savez(arguments.found, **records)
    if arguments.sets:
        alike = np.concatenate([np.resize(np.flatnonzero(records["set"] == name), 360) for name in arguments.sets])
        records = {name: values[alike] for name, values in records.items()}
    print(f"{len(records['found'])} people, {100 * records['found'].mean():.1f} % found")
    measured = statistics(records)
    ours = statistics(simulated(records, DetectorErrors(harder=arguments.harder)))
    for table, lines in measured.items():
        print(f"\n| {table} | measured | simulated |\n| --- | ---: | ---: |")
        for line, value in lines.items():
            print(f"| {line} | {value:.2f} | {ours[table].get(line, np.nan):.2f} |")


if __name__ == "__main__":
    main()
