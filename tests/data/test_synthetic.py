"""Synthetic people: labels that agree with body and pixels, the same bytes for the same seed, errors in a sentence."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.mesh import RayCaster
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.synthetic.figure import SHOES, SKIN, TOP, Outfit, Wardrobe, hairline
from humesh.data.synthetic.layer import REGIONS, Layer, is_inside
from humesh.data.synthetic.motion import Motion, MotionError, rotations
from humesh.data.synthetic.paint import BackgroundError, Backgrounds, Look
from humesh.data.synthetic.poses import POSTURES, PoseSampler, joints_of, mirrored, reach, turn
from humesh.data.synthetic.scenes import SceneSampler, SyntheticPeople
from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards
from humesh.data.synthetic.variations import vary, visible_points
from humesh.data.synthetic.workers import ShardError, in_processes

NAMES = SMPL24.names


def made_up(frames: int = 60) -> dict[str, np.ndarray]:
    """Our format: small turns of all joints that change slowly, two categories, one clip of each."""
    time = np.linspace(0, 4, frames)[:, None, None]
    joint = np.arange(24)[None, :, None] + np.arange(3)
    poses = 0.35 * np.sin(time + joint)
    poses[:, 0] = [0, 0.3, 0]
    return {
        "poses": poses.astype(np.float16), "trans": np.tile([[0, 0.9, 0]], (frames, 1)).astype(np.float32),
        "seq_category": np.array(["sit", "walk"]), "sequence_id": np.repeat([0, 1], frames // 2),
        "clip_start": np.array([0, frames // 2]), "clip_length": np.array([frames // 2] * 2),
        "clip_fps": np.array([30.0, 30.0]), "clip_sequence": np.array([0, 1]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motion") / "poses.npz"
    np.savez(path, **made_up())
    return path


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


@pytest.fixture(scope="module")
def stage(motion: Path, body: BodyModel) -> SceneSampler:
    return SceneSampler(Motion.read([motion]), people=(1, 3), size=96, seed=3, body=body)


@pytest.fixture(scope="module")
def layers(stage: SceneSampler) -> list[Layer]:
    return [stage.layer(number) for number in range(12)]


@pytest.fixture(scope="module")
def folder(motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards")
    assert list(write_shards(path, Plan((str(motion),), 6, (1, 2), 96, 1)))[-1] == 6
    return path


def points_of(body: BodyModel, layer: Layer) -> np.ndarray:
    pose = BodyPose(*(torch.tensor(a) for a in (layer.rotations, layer.shape, layer.translation)))
    bodies = body(pose)
    return np.concatenate([body.points(bodies, points).numpy() for points in (JOTR30, MEDIAPIPE33)], axis=1)


def test_labels_are_what_the_body_model_makes_of_them(layers: list[Layer], body: BodyModel) -> None:
    for layer in layers:
        np.testing.assert_allclose(layer.points, points_of(body, layer), atol=1e-4)


def test_a_mirrored_layer_has_the_mirrored_body(layers: list[Layer], body: BodyModel) -> None:
    for layer in layers[:4]:
        other = layer.mirrored()
        np.testing.assert_allclose(other.points, points_of(body, other), atol=4e-3)  # the body is not quite even
        np.testing.assert_allclose(other.mirrored().points, layer.points)
        left, right = JOTR30.indices("left_wrist", "right_wrist")
        np.testing.assert_allclose(other.pixels[:, left, 0], 96 - layer.pixels[:, right, 0])


def test_visible_joints_lie_on_their_own_person(layers: list[Layer]) -> None:
    on_person, seen = 0, 0
    for layer in layers:
        for p, points in enumerate(layer.pixels):
            for x, y in points[layer.visible[p] > 0]:
                near = layer.code[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
                on_person += bool((near // REGIONS == p + 1).any())
                seen += 1
    assert seen > 150
    assert on_person >= 0.98 * seen


def test_hidden_means_outside_or_behind(layers: list[Layer]) -> None:
    nose, head = JOTR30.indices("nose", "head")
    for layer in layers:
        assert not layer.visible[~is_inside(layer.pixels, (96, 96))].any()
        ahead = layer.visible[:, nose] > 0  # the skull is 15 cm deep: from behind the nose is farther than the head
        assert (layer.points[ahead, nose, 2] < layer.points[ahead, head, 2] + 0.08).all()


def test_pixels_are_covered_where_they_have_a_code(layers: list[Layer]) -> None:
    for layer in layers:
        assert (layer.alpha[layer.code > 0] > 0).mean() > 0.97  # but where rays through a corner of a pixel miss
        assert (layer.code // REGIONS).max() <= len(layer.identity)


def test_people_stand_on_one_floor_and_are_upright(stage: SceneSampler) -> None:
    down = []
    for number in range(12):
        layer = stage.layer(number)
        head, foot = JOTR30.indices("head", "left_foot")
        down += (layer.pixels[:, foot, 1] > layer.pixels[:, head, 1]).tolist()
    assert np.mean(down) > 0.6  # some lie, some are upside down, some pictures are rolled


def test_a_scene_is_the_same_whoever_draws_it(stage: SceneSampler, motion: Path, body: BodyModel) -> None:
    again = SceneSampler(Motion.read([motion]), people=(1, 3), size=96, seed=3, body=body)
    again.layer(7)
    for name in Layer.__dataclass_fields__:
        assert np.array_equal(getattr(again.layer(2), name), getattr(stage.layer(2), name)), name
    assert not np.array_equal(stage.layer(2).rgb, stage.layer(3).rgb)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_drawn_poses_are_rotations_and_mirrors_undo_themselves(seed: int) -> None:
    source = _source()
    pose = source.draw(np.random.default_rng(seed))
    np.testing.assert_allclose(pose @ np.swapaxes(pose, -1, -2), np.tile(np.eye(3), (24, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(pose), 1)
    np.testing.assert_allclose(mirrored(mirrored(pose)), pose)


def _source() -> PoseSampler:
    data = made_up()
    some = Motion(data["poses"], data["trans"], data["sequence_id"], ("sit", "walk"))
    return PoseSampler(some, BodyModel.load("open-low"))


def places(source: PoseSampler, pose: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, joints_of(pose, source.rest)[1], strict=True))


@pytest.mark.parametrize(
    ("what", "holds"),
    [
        ("up", lambda at: at["left_wrist"][1] > at["left_shoulder"][1] + 0.2),
        ("hips", lambda at: np.linalg.norm(at["left_wrist"] - at["left_hip"]) < 0.35),
        ("face", lambda at: np.linalg.norm(at["left_wrist"] - at["head"]) < 0.35),
        ("other arm", lambda at: at["left_wrist"][0] < 0.1 and at["right_wrist"][0] > -0.1),
        ("back", lambda at: at["left_wrist"][2] < at["spine1"][2]),
    ],
)
def test_hands_reach_where_they_are_sent(what: str, holds: Callable[[dict[str, np.ndarray]], bool]) -> None:
    source = _source()
    kept = []
    for seed in range(20):
        pose = np.tile(np.eye(3), (24, 1, 1))
        reach(pose, what, np.random.default_rng(seed))
        kept.append(holds(places(source, pose)))
    assert np.mean(kept) > 0.85


def test_elbows_of_reaching_arms_bend_forwards() -> None:
    """The hinge is the rest pose's y axis: a bent left forearm turns towards +z, never back over the elbow."""
    for seed in range(20):
        pose = np.tile(np.eye(3), (24, 1, 1))
        reach(pose, "face", np.random.default_rng(seed))
        assert (pose[NAMES.index("left_elbow")] @ [1, 0, 0])[2] > 0


@pytest.mark.parametrize("posture", ["chair", "cross-legged", "legs out"])
def test_who_sits_has_level_thighs(posture: str) -> None:
    source = _source()
    level = []
    for seed in range(40):
        at = places(source, source.posture(posture, np.random.default_rng(seed)))
        thigh = at["left_knee"] - at["left_hip"]
        level.append(abs(thigh[1]) < 0.75 * np.linalg.norm(thigh))
    assert np.mean(level) > 0.8


def test_the_pelvis_is_as_high_as_the_legs_of_a_posture_let_it() -> None:
    """A shin on a chair, a thigh on the knees (some 0.4 m), a leg bending; less on the floor."""
    source, heights = _source(), {"chair": 0.4, "kneeling": 0.45, "bending": 0.8, "legs out": 0.2, "squatting": 0.3}
    for name, height in heights.items():
        found = []
        for seed in range(20):
            at = places(source, source.posture(name, np.random.default_rng(seed)))
            ends = [at[f"{side}_{joint}"][1] for side in ("left", "right") for joint in ("knee", "ankle")]
            found.append(at["pelvis"][1] - min(ends))
        assert np.mean(found) == pytest.approx(height, abs=0.08), name
    assert set(heights) < set(POSTURES)


def test_turns_follow_the_right_hand() -> None:
    np.testing.assert_allclose(turn("x", np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn("y", np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turn("z", np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    for axis, vector in (("x", [0.3, 0, 0]), ("y", [0, 0.3, 0]), ("z", [0, 0, 0.3])):
        np.testing.assert_allclose(rotations(np.array(vector)), turn(axis, 0.3))


def test_clothes_are_where_they_belong(body: BodyModel) -> None:
    generator = np.random.default_rng(0)
    look = Look.draw(generator)
    outfit = replace(
        look.outfit, sleeve=0.5, hem=-0.1, trouser=-0.8, skirt=None, mane=None, shoe=-0.8, neck=0.52, brim=0.0,
        hair=0.02,
    )  # fmt: skip
    look = replace(look, outfit=outfit)
    spots = np.array([[0.3, 0.47, 0.05], [0.6, 0.47, 0.03], [0.1, -0.89, 0.1], [0, 0.3, 0.14], [0, 0.64, 0.14]])
    _, region = look.paint(spots, np.full(5, SKIN))
    assert region.tolist() == [TOP, SKIN, SHOES, TOP, SKIN]
    assert hairline(np.array([[0.0, 0.79, 0.05]]))[0] > 0 > hairline(np.array([[0.0, 0.65, 0.14]]))[0]
    figure = Wardrobe(body).dress(np.zeros(10), outfit, generator)
    np.testing.assert_allclose(figure.weights.sum(1), 1, atol=1e-5)
    away = np.linalg.norm(figure.shaped - figure.rest, axis=1)
    assert 0.01 < away.max() < 0.12
    hands = np.abs(figure.rest[:, 0]) > 0.7
    assert away[hands].max() == 0


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_every_outfit_can_be_worn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    wardrobe = Wardrobe(BodyModel.load("open-low"))
    outfit = replace(Outfit.draw(generator), skirt=-0.5, mane=0.4, brim=0.2)
    figure = wardrobe.dress(generator.normal(0, 1, 10), outfit, generator)
    assert figure.faces.max() == len(figure.rest) - 1
    assert len(figure.piece) == len(figure.faces)
    np.testing.assert_allclose(figure.weights.sum(1), 1, atol=1e-5)
    assert np.isfinite(figure.shaped).all()


def test_rays_meet_the_first_of_two_walls() -> None:
    near = np.array([[-1.0, -1, 2], [1, -1, 2], [0, 2, 2]])
    caster = RayCaster(np.concatenate([near, near * [1, 1, 1.5]]), np.array([[0, 1, 2], [3, 4, 5]]))
    rays = np.array([[0, 0, 1], [5, 0, 1]], np.float32)
    hits = caster.cast(np.zeros_like(rays), rays)
    assert hits.ray.tolist() == [0]
    assert hits.face.tolist() == [0]
    np.testing.assert_allclose(hits.distance, [2])
    np.testing.assert_allclose(hits.weights[0] @ near, [0, 0, 2], atol=1e-6)
    assert not len(caster.cast(np.zeros_like(rays), rays, reach=1.9).ray)
    between = np.array([[0, 0, 2.5], [0, 0, 3.5]], np.float32)
    assert caster.is_blocked(between, np.tile(rays[:1], (2, 1))).tolist() == [True, False]


def test_variations_are_endless_and_repeatable(folder: Path) -> None:
    people = ShardedPeople(folder, variations=3)
    assert len(people) == 18
    a, b, again = people[1], people[1 + 6], ShardedPeople(folder)[1 + 6]
    assert a.people
    assert b.people
    np.testing.assert_array_equal(b.photo.pixels, again.photo.pixels)
    assert a.photo.pixels.shape != b.photo.pixels.shape or (a.photo.pixels != b.photo.pixels).any()
    assert a.people[0].identity == b.people[0].identity
    np.testing.assert_array_equal(a.people[0].pose.shape.numpy(), b.people[0].pose.shape.numpy())


def test_a_sample_is_true_after_mirrors(folder: Path, body: BodyModel) -> None:
    people = ShardedPeople(folder, variations=8)
    for sample in (people[i] for i in range(48)):
        for person in sample.people:
            bodies = body(person.pose.map(lambda tensor: tensor[None]))
            points = body.points(bodies, JOTR30)[0]
            torch.testing.assert_close(person.points3d, points, atol=5e-3, rtol=0)
            ahead = person.points2d_weight > 0
            flat = sample.photo.camera.project(person.points3d)
            torch.testing.assert_close(person.points2d[ahead], flat[ahead], atol=0.05, rtol=1e-3)
            assert not person.visible[~torch.from_numpy(is_inside(person.points2d.numpy(), sample.photo.size))].any()
            assert person.seen.keypoint_set is MEDIAPIPE33


def test_what_an_occluder_covers_is_hidden(layers: list[Layer]) -> None:
    layer = layers[0]
    hidden = np.zeros(layer.code.shape, np.uint8)
    before = visible_points(layer, hidden)
    hidden[:48] = 255
    after = visible_points(layer, hidden)
    assert before
    assert after
    for p, visible in after.items():
        below = layer.pixels[p, :, 1] >= 48
        assert not visible[~below].any()
        np.testing.assert_array_equal(visible[below], before[p][below])
    assert not visible_points(layer, np.full_like(hidden, 255))


def test_the_least_people_that_are_labelled_shrink_with_the_picture(layers: list[Layer]) -> None:
    """80 of 256 x 256 px are 11.25 of 96 x 96: at 64 px whole people were left out, and photos with them."""
    layer = next(layer for layer in layers if layer.visible[0, :30].sum() > 15)
    for pixels, labelled in ((12, [0]), (11, [])):
        code = np.zeros_like(layer.code)
        code.flat[:pixels] = REGIONS
        assert list(visible_points(replace(layer, code=code), np.zeros_like(code))) == labelled


def test_someone_stays_labelled(layers: list[Layer]) -> None:
    backgrounds = Backgrounds()
    labelled = [
        len(vary(layer, backgrounds, np.random.default_rng([i, k]), np.random.default_rng(i), "").people)
        for i, layer in enumerate(layers)
        for k in range(3)
    ]
    assert np.mean(np.array(labelled) > 0) > 0.95


def test_shards_are_written_again_with_the_same_bytes(folder: Path, motion: Path, tmp_path: Path) -> None:
    plan = Plan((str(motion),), 6, (1, 2), 96, 1)
    assert list(write_shards(folder, plan)) == [6]  # nothing is missing
    assert list(write_shards(tmp_path, plan))[-1] == 6
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    (tmp_path / "people-00000.npz").unlink()  # as if stopped before it was written
    list(write_shards(tmp_path, plan))
    assert (folder / "people-00000.npz").read_bytes() == (tmp_path / "people-00000.npz").read_bytes()
    with pytest.raises(ShardError, match="made in another way"):
        list(write_shards(tmp_path, replace(plan, seed=2)))


@pytest.mark.slow
def test_many_workers_write_the_same(folder: Path, motion: Path, tmp_path: Path) -> None:
    list(write_shards(tmp_path, Plan((str(motion),), 6, (1, 2), 96, 1), workers=2))
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_a_worker_that_dies_ends_in_a_sentence() -> None:
    with pytest.raises(ShardError, match=r"a worker died .* goes on where it stopped"):
        list(in_processes(os._exit, [3], 2))


def test_a_full_disk_ends_in_a_sentence_and_nothing_half_written(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".npz":
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ShardError, match="the disk is full; make room"):
        list(write_shards(tmp_path, Plan((str(motion),), 2, (1, 1), 64, 1)))
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic.json"]


def test_damaged_and_missing_shards_end_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="found none; run `humesh synth"):
        ShardedPeople(tmp_path)
    for path in folder.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[:-10] if path.suffix == ".npz" else data)
    with pytest.raises(ShardError, match=r"people-00000.npz: expected a shard .* again"):
        ShardedPeople(tmp_path)


def test_videos_move_smoothly_and_keep_their_people(motion: Path) -> None:
    people = SyntheticPeople([motion], 16, people=(1, 2), size=64, frames=8)
    assert people.tracks == (range(0, 8), range(8, 16))
    for track in people.tracks:
        samples = [people[i] for i in track]
        frames = [{p.identity: p for p in sample.people} for sample in samples]
        assert len({sample.photo.size for sample in samples}) == 1
        for one, two in pairwise(frames):
            for identity in one.keys() & two.keys():
                step = (one[identity].points3d - two[identity].points3d).norm(dim=-1).max()
                assert step < 0.25  # metres in a thirtieth or fifteenth of a second
    assert np.array_equal(people[3].photo.pixels, people[3].photo.pixels)
    with pytest.raises(MotionError, match="clips of at least 99 frames"):
        SyntheticPeople([motion], 99, frames=99)[0]


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"poses": np.full((5, 24, 3), np.nan)}, "5 of 5 poses have NaN or infinity"),
        ({"poses": np.zeros((5, 23, 3))}, "expected poses of N x 24 x 3 .* got 5 x 23 x 3"),
        ({"poses": np.full((5, 24, 3), 45.0)}, "the largest is 77.9; are they degrees?"),
        ({"poses": np.zeros((0, 24, 3))}, "expected poses, the file has none"),
        ({"poses": np.zeros((0, 156))}, "expected poses, the file has none"),
        ({"angles": np.zeros((5, 24, 3))}, "expected an array 'poses', found angles"),
        ({"poses": np.zeros((5, 24, 3)), "trans": np.zeros((4, 3))}, "expected trans of 5 x 3"),
        ({"poses": np.zeros((5, 72)), "trans": np.full((5, 3), np.inf)}, "NaN or infinity"),
        ({"poses": np.zeros((5, 24, 3)), "seq_category": np.array(["sit"])}, "a sequence number for each of its 5"),
        ({"poses": np.full((5, 72), 1e300)}, "NaN or infinity"),
        ({"poses": np.full((5, 24, 3), 1e300)}, "are they degrees"),
        ({"poses": np.array("sit")}, "'poses' to hold floats"),
        ({"poses": np.zeros((5, 24, 3)), "trans": np.array("here")}, "'trans' to hold floats"),
        ({"poses": np.zeros((5, 24, 3)), "mocap_framerate": np.array(np.nan)}, "finite numbers in 'mocap_framerate'"),
        ({"poses": np.zeros((5, 24, 3)), "mocap_framerate": np.array(0.0)}, "frames a second above 0, got 5"),
        ({"poses": np.zeros((5, 24, 3)), "mocap_framerate": np.zeros(0)}, "frames a second above 0"),
        (made_up() | {"sequence_id": np.full(60, 2)}, "a sequence number for each of its 60"),
        (made_up() | {"sequence_id": np.full(60, -1)}, "a sequence number for each of its 60"),
        (made_up() | {"sequence_id": np.zeros(60)}, "'sequence_id' to hold integers"),
        (made_up() | {"clip_length": np.array([30, 2**60])}, "expected clips among its 60 poses"),
        (made_up() | {"clip_start": np.array([-1, 30])}, "expected clips among its 60 poses"),
        (made_up() | {"clip_fps": np.array([30.0, -30])}, "frames a second above 0, got 30 frames from 30 on at -30"),
        (made_up() | {"clip_sequence": np.array([0, 2])}, "expected clip_sequence to number its 2 sequences"),
        (made_up() | {"clip_fps": np.zeros(3)}, "'clip_fps' of shape clips = 2, got 3"),
        ({k: v for k, v in made_up().items() if k != "clip_fps"}, "expected an .npz .* with clip_fps"),
    ],
)
def test_unusable_motion_ends_in_a_sentence(arrays: dict[str, np.ndarray], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=sentence):
        Motion.read([write(tmp_path / "m.npz", **arrays)])


def test_files_that_are_no_motion_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="found nothing"):
        Motion.read([tmp_path / "no.npz"])
    with pytest.raises(MotionError, match="at least one file"):
        Motion.read([])
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(MotionError, match=r"expected an .npz file of motion, it cannot be read as one"):
        Motion.read([tmp_path / "bad.npz"])
    (tmp_path / "walk.bvh").write_text("HIERARCHY\nROOT a\n")
    with pytest.raises(MotionError, match=r"walk\.bvh: expected an \.npz file of motion"):
        Motion.read([tmp_path / "walk.bvh"])


def test_amass_files_are_turned_upright(tmp_path: Path) -> None:
    poses = np.zeros((3, 156))
    poses[:, 0] = np.pi / 2  # AMASS's world is z up: the y-up body stands after a quarter turn about x
    path = write(tmp_path / "a.npz", poses=poses, trans=np.tile([[1.0, 2, 0.9]], (3, 1)), mocap_framerate=np.array(60))
    motion = Motion.read([path])
    np.testing.assert_allclose(motion.poses, 0, atol=1e-6)
    np.testing.assert_allclose(motion.places, np.tile([[1, 0.9, -2]], (3, 1)))
    assert motion.clips[0].fps == 60


def test_backgrounds_come_from_the_folder_or_say_why_not(tmp_path: Path) -> None:
    with pytest.raises(BackgroundError, match="found none; give another folder"):
        Backgrounds(tmp_path)
    with pytest.raises(BackgroundError, match="no such folder"):
        Backgrounds(tmp_path / "no")
    Image.fromarray(np.full((40, 60, 3), (10, 200, 30), np.uint8)).save(tmp_path / "green.png")
    drawn = Backgrounds(tmp_path, photos=1.0).draw(np.random.default_rng(0), (32, 20))
    assert drawn.shape == (20, 32, 3)
    assert (drawn == (10, 200, 30)).all()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "red.png").write_bytes(b"not a picture")
    with pytest.raises(BackgroundError, match=r"red\.png"):
        Backgrounds(tmp_path / "broken", photos=1.0).draw(np.random.default_rng(0), (32, 20))
