"""What users hand to humesh's functions by mistake ends in one sentence, as they see it: without the tests' checks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from humesh.people.person import Person, PersonError
from humesh.recover import Recoverer

_MADE = """
import io, sys
import numpy as np
import torch
import humesh
from humesh.scene.result import VideoResult
pixels, box = np.zeros((40, 60, 3), np.uint8), np.array([0.0, 0, 30, 40])
body = humesh.BodyModel.load("open-low")
mute = humesh.Recoverer(body, finder=lambda photo: [])
pose = humesh.BodyPose(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10), torch.full((1, 3), torch.nan))
ones = torch.ones(1, 24)
lost = humesh.Result(humesh.Photo.of(pixels), [humesh.Person(box, 1.0)], pose, ones, ones.bool(), body, "made up")
video = VideoResult(np.zeros(1), (60, 40), lost.photo.camera, "guessed", [], body, "made up")
"""

_DOORS = {
    "humesh.recover_video(None)": "video: expected a path, an address or the number of a webcam, got NoneType",
    "humesh.recover_video([pixels])": "got list",
    "humesh.recover_video(pixels)": "got ndarray",
    "humesh.recover_video(io.BytesIO())": "got BytesIO",
    "humesh.recover_video(open(sys.executable, 'rb'))": "got BufferedReader",
    "humesh.recover_video(b'clip.mp4')": "got bytes",
    "humesh.Recoverer(weights=None)": "weights: expected a file or a name, got NoneType",
    "humesh.Recoverer(body=None)": "body: expected \"open\", an SMPL file or a BodyModel, got NoneType",
    "humesh.Recoverer(finder='quick')": "finder: expected accurate or fast, or a function from a Photo",
    "mute(pixels, [box])": "people: expected a list of Person, got ndarray; make each with Person(box, score)",
    "mute(pixels, 3)": "people: expected a list of Person, got int",
    "lost.save(sys.argv[1] + '/a.jpg')": "expected finite vertices (metres), got NaN or infinity",
    "body(torch.zeros(2, 23, 3), torch.zeros(2, 10))": "pose: expected rotations of 24 x 3 x 3",
    "humesh.load(sys.argv[0])": "expected an .npz of humesh",
    "lost.render('back')": "view: expected overlay, front, side, top, got 'back'",
    "next(video.frames)": "frames: expected a result with its video, got none",
    "mute(pixels, focal_px=0.0)": "focal_px: expected pixels above 0, got 0.0",
}  # fmt: skip


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a Python of its own, whose humesh has no checks of annotations, says of each."""
    folder, script = tmp_path_factory.mktemp("doors"), _MADE
    for door in _DOORS:
        script += f"try:\n    {door}\nexcept humesh.HumeshError as error:\n"
        script += "    print(isinstance(error, (TypeError, ValueError)), error)\n"
        script += "except Exception as error:\n    print('bare', repr(error).replace(chr(10), ' '))\n"
        script += "else:\n    print('nothing')\n"
    run = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert not list(folder.iterdir()), run.stderr
    return dict(zip(_DOORS, run.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("door", _DOORS)
def test_what_a_function_does_not_take_ends_in_a_sentence(printed: dict[str, str], door: str) -> None:
    assert printed[door].startswith("True ")
    assert _DOORS[door] in printed[door]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_box_that_no_photo_can_show_is_refused(number: float) -> None:
    with pytest.raises(PersonError, match=r"expected a box of four finite numbers, .*got \[0.0, 0.0, (nan|inf), 4.0\]"):
        Person(np.array([0, 0, number, 4]), 0.5)


def test_a_finder_may_be_named() -> None:
    for name, fast in ((None, False), ("accurate", False), ("fast", True)):
        finder = Recoverer("open-low", name).finder
        assert getattr(finder, "fast", None) is fast
