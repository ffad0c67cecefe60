"""The person finder: its arithmetic against plain twins, its promises on odd input, MediaPipe on a CC0 photo."""

from __future__ import annotations

import math
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.images import landmark_models, people
from humesh.people.regions import Pose, Pyramid, Roi, best_landmark_model
from humesh.people.finder import PeopleFinder
from humesh.images.photo import Photo
from humesh.people.rtmlib_people import RtmlibPeople
from humesh.people.same_body import box_around_points, distinct, person_of, similarity
from humesh.images.tiles import tile_batches

MIRROR = list(MEDIAPIPE33.mirror)
RATING = (0.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0)


def _pose(x: float = 0.0, y: float = 0.0, size: float = 100.0, score: float = 0.8) -> Pose:
    points = np.random.default_rng(0).uniform(0, 1, (33, 3)) * [0.4, 1, 0] + [0, 0, 0.9]
    points[:, :2] = points[:, :2] * size + [x, y]
    return Pose(points, np.zeros((33, 3)), score, Roi(x + 0.2 * size, y + 0.5 * size, 1.25 * size))


# --- arithmetic


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 80), st.integers(0, 200))
def test_tiles_cover_the_photo_at_every_scale_within_the_budget(
    width: int, height: int, always: int, crowd: int
) -> None:
    batches = tile_batches(width, height, always, crowd)
    tiles = np.concatenate(batches)
    assert len(batches[0]) <= max(always, 1)
    assert len(tiles) <= max(always + crowd, 1)
    for side in np.unique(tiles[:, 2]):
        level = tiles[tiles[:, 2] == side]
        for axis, length in enumerate((width, height)):
            starts = np.unique(level[:, axis])
            assert starts[0] <= 1e-6
            assert starts[-1] + side >= length - 1e-6
            assert np.all(np.diff(starts) <= 0.75 * side + 1e-6)
            assert len(starts) == 1 or (starts[0] >= -1e-6 and starts[-1] + side <= length + 1e-6)
        assert len(level) == len(np.unique(level[:, 0])) * len(np.unique(level[:, 1]))


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 100), st.floats(-3.1, 3.1))
def test_roi_is_mediapipes(x: float, y: float, radius: float, angle: float) -> None:
    rim = np.array([x + radius * math.sin(angle), y - radius * math.cos(angle)])
    roi = Roi.around(np.array([x, y]), rim)
    dx, dy = rim - [x, y]
    assert roi.angle == pytest.approx(math.remainder(math.pi / 2 - math.atan2(-dy, dx), 2 * math.pi), abs=1e-9)
    assert roi.side == pytest.approx(2.5 * max(radius, 0.4), abs=1e-9)
    # the middle of the crop is the hips, 0.1 of a crop below its upper edge lies the rim
    np.testing.assert_allclose(roi.to_photo(np.array([[0.5, 0.5]])), [[x, y]], atol=1e-9)
    np.testing.assert_allclose(roi.to_photo(np.array([[0.5, 0.1]])), [rim], atol=1e-9)


def test_crop_shows_what_the_roi_says() -> None:
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[40:60, 150:170] = 255  # around (160, 50)
    crop = Pyramid(pixels).cut(Roi(100.0, 50.0, 256.0, angle=math.pi / 2), 256)
    rows, columns = np.nonzero(crop[..., 0] > 127)
    # turned by +90 degrees the crop's up is the photo's right, so 60 px to the right are 60 px above the centre
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((128, 68), abs=0.5)


def test_small_crops_of_large_photos_keep_their_place() -> None:
    pixels = np.zeros((1003, 1501, 3), np.uint8)
    pixels[500:600, 700:900] = 255
    crop = Pyramid(pixels).cut(Roi(750.0, 500.0, 1000.0), 100)
    rows, columns = np.nonzero(crop[..., 0] > 127)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((55, 55), abs=0.6)


def test_the_same_body_is_kept_once_and_the_better_one_stays() -> None:
    same, better, beside = _pose(score=0.5), _pose(x=2, score=0.9), _pose(x=45, score=0.6)
    assert similarity(same, same) == pytest.approx(1)
    assert similarity(same, better) > 0.9
    assert distinct([same, beside, better]) == [better, beside]


def test_a_part_of_a_body_goes_and_a_far_person_behind_stays() -> None:
    body = _pose(size=300, score=0.95)
    part, sure = _pose(x=40, y=100, size=60, score=0.6), _pose(x=40, y=100, size=60, score=0.97)
    elsewhere = _pose(x=400, y=100, size=60, score=0.6)
    assert distinct([part, body, elsewhere]) == [body, elsewhere]
    assert distinct([sure, body]) == [sure, body]


def _stick(face: tuple[float, float], lying: bool, score: float) -> Pose:
    """A body of 200 px with its face at a place: hips below it, or beside it."""
    points = np.full((33, 3), [*face, 0.9])
    down = np.array([1.0, 0.0]) if lying else np.array([0.0, 1.0])
    for part, at in {"shoulder": 40, "elbow": 70, "wrist": 100, "hip": 100, "knee": 150, "ankle": 190}.items():
        points[MEDIAPIPE33.indices(f"left_{part}", f"right_{part}"), :2] += at * down
    return Pose(points, np.zeros((33, 3)), score, Roi(float(face[0]), float(face[1]), 250.0))


def test_two_bodies_with_one_face_are_one_person_the_upright_one() -> None:
    upright, lying = _stick((300, 100), lying=False, score=0.45), _stick((303, 98), lying=True, score=0.66)
    assert similarity(upright, lying) < 0.4
    assert distinct([upright, lying]) == [upright]
    neighbour = _stick((325, 100), lying=True, score=0.66)  # cheek to cheek, somebody else
    assert distinct([upright, neighbour]) == [neighbour, upright]


def test_similarity_is_cocos_formula() -> None:
    one, other = _pose(), _pose(x=8, y=6)  # 10 px apart, a tenth of 100 px is one sigma
    assert similarity(one, other) == pytest.approx(math.exp(-0.5))


def test_box_holds_the_trusted_points_and_stays_in_the_photo() -> None:
    points = np.full((33, 3), [50.0, 60.0, 0.9])
    points[1, :2], points[2, :2] = [20, 10], [80, 110]
    points[3] = [500, 500, 0.1]  # a point nobody trusts
    np.testing.assert_allclose(box_around_points(points, 1000, 1000), [13, 3, 87, 117])  # 0.07 of 100 px of room
    np.testing.assert_allclose(box_around_points(points, 85, 100), [13, 3, 85, 100])


def test_agreement_makes_confidence_and_rating() -> None:
    looks = [_pose(x=200, y=200, score=0.99) for _ in range(3)]
    agreed = people.agreed(tuple(looks), (1000, 1000), RATING)
    np.testing.assert_allclose(agreed.points, looks[0].points, atol=1e-9)
    off = _pose(x=230, y=200, score=0.99)  # the mirror image tells another place, 0.3 of a body away
    disagreed = people.agreed((looks[0], looks[1], off), (1000, 1000), RATING)
    np.testing.assert_allclose(disagreed.points[:, :2], looks[1].points[:, :2])
    np.testing.assert_allclose(disagreed.points[:, 2], 0.9 * math.exp(-4.5))
    assert disagreed.score < agreed.score


def test_points_outside_the_photo_have_no_confidence() -> None:
    person = person_of(_pose(x=-20, size=100), 60, 80)
    x, y, confidence = person.keypoints.T
    outside = (x < 0) | (y < 0) | (x > 60) | (y > 80)
    assert outside.any()
    assert not confidence[outside].any()
    assert (confidence[~outside] == 0.9).all()


@pytest.mark.parametrize(("knee", "ankle", "told"), [(0.09, 0.34, False), (0.11, 0.0, True), (0.0, 0.36, True)])
def test_legs_that_are_guessed_have_no_confidence(knee: float, ankle: float, told: bool) -> None:
    pose = _pose(x=20, size=50)
    points = pose.points.copy()
    points[MEDIAPIPE33.indices("left_knee", "right_knee", "right_ankle", "right_foot_index"), 2] = 0.05
    points[MEDIAPIPE33.indices("left_knee", "left_ankle"), 2] = knee, ankle
    person = person_of(replace(pose, points=points), 100, 100)
    legs = MEDIAPIPE33.indices(
        *(f"{s}_{j}" for s in ("left", "right") for j in ("knee", "ankle", "heel", "foot_index"))
    )
    wanted = points[:, 2].copy()
    wanted[legs] *= told
    np.testing.assert_array_equal(person.keypoints[:, 2], wanted)
    np.testing.assert_array_equal(person.keypoints[:, :2], points[:, :2])


# --- MediaPipe itself


@pytest.fixture(scope="module", params=["full", "heavy"])
def finder(request: pytest.FixtureRequest) -> Iterator[PeopleFinder]:
    pytest.importorskip("mediapipe")
    if request.param == "heavy" and best_landmark_model() == "full":
        pytest.skip("humesh was built without a connection to the npm registry, see hatch_build.py")
    with PeopleFinder(workers=2, model=request.param) as finder:
        yield finder


@pytest.fixture(scope="module")
def cameraman() -> np.ndarray:
    """The man at a camera of scikit-image (CC0), 512 x 512, with black around him."""
    grey = pytest.importorskip("skimage.data").camera()
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (20, 20), (480, 640)])
def test_nobody_in_blank_photos_of_any_size(finder: PeopleFinder, shape: tuple[int, int]) -> None:
    assert finder(Photo.of(np.full((*shape, 3), 127, np.uint8))) == []


def test_nobody_in_noise(finder: PeopleFinder) -> None:
    assert finder(Photo.of(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))) == []


def _assert_is_the_cameraman(keypoints: np.ndarray) -> None:
    """Places read off the picture by eye, in px; a tenth of the man's 450 px is allowed, more where his coat hides."""
    for name, x, y, within in (("nose", 254, 155, 45), ("right_shoulder", 105, 165, 45), ("right_hip", 65, 360, 60)):
        found = keypoints[MEDIAPIPE33.index(name)]
        assert np.hypot(found[0] - x, found[1] - y) < within, (name, found)


def test_the_cameraman_is_found_and_mirrored_he_is_mirrored(finder: PeopleFinder, cameraman: np.ndarray) -> None:
    man = finder(Photo.of(cameraman))[0]
    twin = finder(Photo.of(np.ascontiguousarray(cameraman[:, ::-1])))[0]
    _assert_is_the_cameraman(man.keypoints)
    _assert_is_the_cameraman((twin.keypoints * [-1, 1, 1] + [512, 0, 0])[MIRROR])


def test_given_boxes_are_answered_in_order_also_empty_ones(finder: PeopleFinder, cameraman: np.ndarray) -> None:
    boxes = np.array([[400.0, 300, 500, 500], [0, 60, 350, 512], [-50, -50, -10, -10]])
    nobody, man, outside = finder.landmarks(Photo.of(cameraman), boxes)
    for person, box in zip((nobody, man, outside), boxes, strict=True):
        np.testing.assert_array_equal(person.box, box)
        assert person.landmarks3d.shape == (33, 3)
    assert not nobody.keypoints[:, 2].any()
    assert not outside.keypoints[:, 2].any()
    _assert_is_the_cameraman(man.keypoints)
    assert finder.landmarks(Photo.of(cameraman), np.zeros((0, 4))) == []


def test_landmarks3d_are_a_body_in_camera_axes(finder: PeopleFinder, cameraman: np.ndarray) -> None:
    (man,) = finder.landmarks(Photo.of(cameraman), np.array([[0.0, 60, 350, 512]]))
    nose, hip = (man.landmarks3d[MEDIAPIPE33.index(name)] for name in ("nose", "right_hip"))
    assert nose[1] < hip[1] - 0.3  # y points down
    assert 0.3 < np.linalg.norm(nose - hip) < 1.0
    hips = man.landmarks3d[MEDIAPIPE33.indices("left_hip", "right_hip")].mean(0)
    assert np.linalg.norm(hips) < 0.05


_WITHOUT_CV2 = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cv2", "matplotlib"):
            raise ImportError("libGL.so.1: cannot open shared object file")
sys.meta_path.insert(0, Broken())
import numpy as np
from humesh.people.finder import PeopleFinder
from humesh.images.photo import Photo
assert "mediapipe" not in sys.modules
print(PeopleFinder()(Photo.of(np.zeros((64, 64, 3), np.uint8))), "cv2" in sys.modules)
sys.stderr.write("my own line\\n")
"""


def test_works_quietly_without_libgl() -> None:
    pytest.importorskip("mediapipe")
    done = subprocess.run([sys.executable, "-c", _WITHOUT_CV2], capture_output=True, text=True, check=False)
    assert done.stdout == "[] False\n", done.stderr
    assert done.stderr == "my own line\n"


def test_missing_mediapipe_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match=r"Python 3.12 or older and numpy below 2, pip install .mediapipe==0.10.21"):
        PeopleFinder()


def test_without_the_heavy_model_the_full_one_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    monkeypatch.setattr(landmark_models, "_HEAVY", tmp_path / "none.tflite")
    with PeopleFinder(workers=1) as finder:
        assert finder.model == "full"
    with pytest.raises(FileNotFoundError, match=r"none.tflite: expected MediaPipe's heavy landmark model"):
        PeopleFinder(model="heavy")


# --- rtmlib


class _FakeBodyWithFeet:
    """Two people, the second one surer; refuses to be asked for the pose of nobody, as rtmlib would invent one."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings

    def det_model(self, bgr: np.ndarray) -> np.ndarray:
        return np.array([[0, 0, 10, 20], [30, 0, 50, 40]], np.float32) if bgr[0, 0, 0] == 3 else np.array([])

    def pose_model(self, bgr: np.ndarray, bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert len(bboxes) == 2
        points = np.arange(2 * 26 * 2, dtype=np.float64).reshape(2, 26, 2)
        return points, np.stack([np.full(26, 0.4), np.full(26, 1.2)]).astype(np.float32)


def test_rtmlib_people(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("rtmlib")
    module.BodyWithFeet = _FakeBodyWithFeet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtmlib", module)
    rtmlib = RtmlibPeople(mode="lightweight")
    pixels = np.full((60, 60, 3), [1, 2, 3], np.uint8)  # rtmlib wants BGR
    sure, other = rtmlib(Photo.of(pixels))
    assert (sure.score, other.score) == pytest.approx((1, 0.4))
    np.testing.assert_array_equal(sure.box, [30, 0, 50, 40])
    assert sure.keypoint_set.names[:17] == COCO17.names
    np.testing.assert_array_equal(sure.keypoints[sure.keypoint_set.index("left_heel")], [100, 101, 1])
    assert sure.landmarks3d is None
    assert rtmlib(Photo.of(np.zeros((60, 60, 3), np.uint8))) == []


def test_missing_rtmlib_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ImportError, match=r'pip install "humesh\[rtmlib\]"'):
        RtmlibPeople()
