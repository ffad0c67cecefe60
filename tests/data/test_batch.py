"""Groups of crops with labels: what changes the pixels changes the labels, and numbers decide everything."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.joints import JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.crops.crops import CropSpec, group_people
from humesh.data.augment import Augment, Change, mirrored
from humesh.data.batch import Batch, DataError, Groups, Mix, joined, padded, split
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import as_joint_set
from humesh.geometry.boxes import affine_apply, affine_inverse
from humesh.methods.rois import ROI_COPIES, roi_copies

BODY = BodyModel.load("open-low")
SPECS = {
    "single": CropSpec((96, 96), keypoints=JOTR30),
    "rois": CropSpec((96, 64), "rois", 3, copies=ROI_COPIES[:3]),
    "frames": CropSpec((96, 96), "frames", 3),
    "people": CropSpec((96, 96), "people", None, margin=1.2),
}
PHOTOS, CLIPS = DrawnPeople(12), DrawnPeople(24, clip=8)
HARD = Augment(
    centre=0.1, scale=0.2, mirror=0.5, roll=30.0, rolled=0.8, colour=0.2, brightness=0.2, contrast=0.2, noise=0.05,
    erase=0.5,
)  # fmt: skip

kinds = pytest.mark.parametrize("kind", SPECS)


def groups(kind: str, augment: Augment | None = None, seed: int = 0, **options: Any) -> Groups:
    return Groups(
        SPECS[kind], [CLIPS if kind == "frames" else PHOTOS], BODY, augment=augment, seed=seed, people=3, **options
    )


@kinds
@given(number=st.integers(0, 10**6))
def test_labels_stay_on_the_people_whatever_is_changed(kind: str, number: int) -> None:
    """Jitter, mirror, roll: 3D labels seen by the crop's camera are the 2D labels, and the pose's body has them."""
    batch = groups(kind, HARD)[number]
    there, targets = batch.crops.present, batch.targets
    assert there.any()
    seen = batch.crops.camera.project(targets.points3d)
    assert torch.allclose(seen[there], targets.points2d[there], atol=1e-3)
    points = BODY.points(BODY(targets.pose), JOTR30)
    assert torch.allclose(points[there], targets.points3d[there], atol=1e-4)
    assert batch.crops.pixels.aminmax().min >= 0
    assert batch.crops.pixels.aminmax().max <= 1
    if kind == "single":  # what was seen of the person (here the truth) moves with the labels
        face = JOTR30.indices("nose", "left_eye", "right_eye", "left_ear", "right_ear")
        assert torch.allclose(batch.crops.keypoints[..., face, :2], targets.points2d[..., face, :], atol=1e-3)


@given(number=st.integers(0, 11))
def test_a_mirror_twice_is_none(number: int) -> None:
    sample = PHOTOS[number]
    again = mirrored(mirrored(sample))
    assert np.array_equal(again.photo.pixels, sample.photo.pixels)
    assert torch.allclose(again.photo.camera.matrix, sample.photo.camera.matrix)
    for a, b in zip(again.people, sample.people, strict=True):
        assert torch.allclose(a.points2d, b.points2d, atol=1e-4)
        assert torch.allclose(a.pose.rotations, b.pose.rotations)
        assert a.seen.keypoints is not None
        assert b.seen.keypoints is not None
        assert np.allclose(a.seen.keypoints, b.seen.keypoints)
        assert np.allclose(a.seen.box, b.seen.box)


def test_a_mirror_exchanges_pixels_and_names() -> None:
    sample = PHOTOS[0]
    other = mirrored(sample)
    width = sample.photo.size[0]
    assert np.array_equal(other.photo.pixels[:, 0], sample.photo.pixels[:, -1])
    for a, b in zip(sample.people, other.people, strict=True):
        left, right = JOTR30.index("left_wrist"), JOTR30.index("right_wrist")
        there = a.points2d[left] * torch.tensor([-1.0, 1.0]) + torch.tensor([float(width), 0.0])
        assert torch.allclose(b.points2d[right], there)


@pytest.mark.parametrize("kind", ["people", "single"])
def test_a_crop_rolled_by_a_quarter_is_the_crop_turned(kind: str) -> None:
    sample = PHOTOS[3]
    people = [person.seen for person in sample.people]
    plain, rolled = (group_people(SPECS[kind], sample.photo, people, roll) for roll in (0.0, math.pi / 2))
    assert torch.allclose(rolled.pixels, plain.pixels.rot90(-1, (-2, -1)), atol=1e-4)  # clockwise
    assert torch.allclose(plain.photo_camera.focal_px, rolled.photo_camera.focal_px)


def test_copies_of_a_rolled_crop_are_shifted_along_its_axes() -> None:
    """As the network gets box vectors: the same whatever the roll."""
    sample = PHOTOS[3]
    middles = []
    for roll in (0.0, 0.7):
        crops = group_people(SPECS["rois"], sample.photo, [sample.people[0].seen], roll)
        middles.append(affine_apply(crops.crop_from_photo[0, :1], crops_middle(crops.crop_from_photo[0]))[0])
    assert torch.allclose(*middles, atol=1e-3)


def crops_middle(crop_from_photo: torch.Tensor) -> torch.Tensor:
    """The photo's pixels that the crops' middles show."""
    middle = torch.tensor([[32.0, 48.0]]).expand(len(crop_from_photo), 1, 2)
    return affine_apply(affine_inverse(crop_from_photo), middle)[None, :, 0]


@kinds
def test_the_same_number_is_the_same_group(kind: str) -> None:
    for number in (0, 5, 10**12):
        one, other = groups(kind, HARD)[number], groups(kind, HARD)[number]
        assert torch.equal(one.crops.pixels, other.crops.pixels)
        assert torch.equal(one.targets.points2d, other.targets.points2d)
    assert not torch.equal(groups(kind, HARD)[0].crops.pixels, groups(kind, HARD, seed=1)[0].crops.pixels)


def test_groups_have_the_shape_of_their_kind() -> None:
    batch = joined([groups("people")[n] for n in range(8)])
    assert batch.crops.pixels.shape == (8, 3, 3, 96, 96)
    absent = ~batch.crops.present
    assert absent.any()
    assert not batch.crops.pixels[absent].any()
    assert not batch.targets.points3d_weight[absent].any()
    assert (batch.targets.identity[absent] == -1).all()
    rois = groups("rois")[3]
    assert rois.crops.wanted.tolist() == [[True, False, False]]
    assert torch.equal(rois.targets.points3d[0, 0], rois.targets.points3d[0, 2])
    assert not torch.equal(rois.targets.points2d[0, 0], rois.targets.points2d[0, 2])
    clip = groups("frames")[4]
    assert len(set(clip.targets.identity[0].tolist())) == 1
    assert not torch.equal(clip.targets.points3d[0, 0], clip.targets.points3d[0, 1])


def test_photos_are_clips_of_one_frame_and_clips_end() -> None:
    still = Groups(SPECS["frames"], [PHOTOS], BODY)[0]
    assert still.crops.present.tolist() == [[True, False, False]]
    short = Groups(replace(SPECS["frames"], count=6), [CLIPS], BODY, stride=3)[0]
    assert short.crops.present.tolist() == [[True, True, True, False, False, False]]  # 8 frames, every third


def test_boxes_of_rois_can_be_drawn_anew() -> None:
    drawn = Groups(SPECS["rois"], [PHOTOS], BODY, copies=lambda generator: roi_copies("random", 3, generator))
    first, second = (drawn[n].crops.crop_from_photo for n in (0, 0))
    assert torch.equal(first, second)
    zooms = [drawn[n].crops.crop_from_photo[0, :, 0, 0] for n in range(3)]
    assert not torch.allclose(zooms[0][1] / zooms[0][0], zooms[1][1] / zooms[1][0])


@given(
    shares=st.lists(st.integers(1, 20), min_size=1, max_size=4), start=st.integers(0, 10**9), seed=st.integers(0, 99)
)
def test_a_mix_keeps_its_shares_and_misses_nothing(shares: list[int], start: int, seed: int) -> None:
    sizes = [7, 5, 11, 3][: len(shares)]
    mix = Mix(sizes, [float(share) for share in shares], seed)
    drawn = [mix(number) for number in range(start, start + 40 * sum(shares))]
    for index, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        taken = [(unit, time) for which, unit, time in drawn if which == index]
        assert abs(len(taken) - 40 * share) <= len(shares)
        assert len(set(taken)) == len(taken)  # in each round each unit once
        assert all(0 <= unit < size for unit, _ in taken)


def test_what_is_held_out_is_never_trained_on() -> None:
    train, held_out = split(CLIPS, 5)
    assert (len(train), len(held_out)) == (16, 8)  # a clip is not cut
    assert held_out.tracks == (range(8),)
    assert held_out[0].name == CLIPS[16].name

    class Varied:
        """Three samples, in four variations."""

        tracks, stored = (), 3

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> Any:
            return replace(PHOTOS[0], name=str(index))

    train, held_out = split(Varied(), 1)
    assert [train.taken(i, time).name for time in (0, 1, 5) for i in (0, 1)] == ["0", "1", "3", "4", "3", "4"]
    assert held_out[0].name == "2"


def test_labels_of_other_joint_sets_find_their_places() -> None:
    sample = PHOTOS[0]
    person = sample.people[0]
    at = JOTR30.indices(*SMPL24.names)
    small = replace(
        person,
        joint_set=SMPL24,
        **{
            name: getattr(person, name)[at]
            for name in ("points3d", "points3d_weight", "points2d", "points2d_weight", "visible")
        },
    )
    (back,) = as_joint_set(replace(sample, people=(small,)), JOTR30).people
    assert torch.equal(back.points3d[at], person.points3d[at])
    assert not back.points3d_weight[JOTR30.index("nose")]
    assert back.points3d_weight[JOTR30.index("pelvis")]


def test_wrong_samples_are_named() -> None:
    class Empty(DrawnPeople):
        """Photos without people."""

        def __getitem__(self, index: int) -> Any:
            return replace(super().__getitem__(index), people=())

    class Broken(DrawnPeople):
        """Photos that cannot be read."""

        def __getitem__(self, index: int) -> Any:
            raise OSError("the disk is gone")

    with pytest.raises(DataError, match=r"data 'mine', sample \d+ .*found nobody; leave it out"):
        Groups(SPECS["single"], [Empty(4)], BODY, names=["mine"])[0]
    with pytest.raises(DataError, match="found nobody; leave it out"):
        Groups(SPECS["frames"], [Empty(4)], BODY)[0]
    with pytest.raises(DataError, match="OSError: the disk is gone"):
        Groups(SPECS["single"], [Broken(4)], BODY)[0]
    with pytest.raises(DataError, match="expected samples to train on, it is empty"):
        Groups(SPECS["single"], [DrawnPeople(0)], BODY)


def test_batches_move_and_pad() -> None:
    batch = groups("people")[0]
    assert padded(batch, 1) is batch
    more = padded(batch, 5)
    assert more.crops.present.sum() == batch.crops.present.sum()
    assert isinstance(more.to(torch.device("cpu")), Batch)


def test_no_change_changes_nothing() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    assert torch.equal(Change().of_pixels(pixels), pixels)
    assert Augment().draw(np.random.default_rng(0)) == replace(
        Change(), seed=Augment().draw(np.random.default_rng(0)).seed
    )


def test_scales_are_normal_and_cut_at_one_deviation() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([Augment(scale=0.25).draw(rng).scale for _ in range(4000)])
    assert (scales.min(), scales.max()) == (0.75, 1.25)
    assert (scales == 0.75).mean() == pytest.approx(0.1587, abs=0.02)
    assert (scales < 0.875).mean() == pytest.approx(0.3085, abs=0.03)


def test_input_keypoints_err_and_nothing_else_does() -> None:
    exact, moved = (groups("single", Augment(keypoint_errors=errors))[1] for errors in (0.0, 1.0))
    assert torch.equal(exact.crops.crop_from_photo, moved.crops.crop_from_photo)
    assert torch.equal(exact.crops.pixels, moved.crops.pixels)
    assert torch.equal(exact.targets.points2d, moved.targets.points2d)
    assert torch.equal(exact.crops.keypoints[..., 2], moved.crops.keypoints[..., 2])
    apart = (exact.crops.keypoints - moved.crops.keypoints).norm(dim=-1)[exact.crops.keypoints[..., 2] > 0]
    assert (apart > 0).all()
    assert 0.2 < apart.median() < 10  # px of a crop with a side of 96
    again = groups("single", Augment(keypoint_errors=1.0))[1]
    assert torch.equal(again.crops.keypoints, moved.crops.keypoints)


def test_a_data_set_can_teach_the_skeleton_alone() -> None:
    both = Groups(SPECS["people"], [PHOTOS, PHOTOS], BODY, (0.5, 0.5), people=3, for_skeleton=(1,))
    for number in range(8):
        batch, which = both[number], both.mix(number)[0]
        assert torch.equal(batch.targets.body_weight, batch.crops.present * float(which == 0))
