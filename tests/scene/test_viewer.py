"""The web page of a video's people: what it shows frame by frame, and in a real browser."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.commands.errors import UserError
from humesh.commands.view import view
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.scene.export_video import save_video
from humesh.scene.recovery import PersonMotion, VideoRecovery

SIZE, COUNT, FPS = (64, 48), 12, 10


def motion(track: int, frames: list[int], x: float) -> PersonMotion:
    """Somebody upright who turns the head, if only that, and walks to the right at 1 m/s."""
    time = torch.tensor(frames) / FPS
    vectors = torch.zeros(len(frames), 24, 3)
    vectors[:, SMPL24.index("pelvis"), 0] = torch.pi  # the body's y up in the camera's frame
    vectors[:, 1:, 1] = 0.1 * time[:, None]
    places = torch.stack([x + time, 0 * time, 4 + 0 * time], dim=-1)
    pose = BodyPose(rotation_from_axis_angle(vectors), torch.zeros(len(frames), 10), places)
    return PersonMotion(track, np.array(frames), pose, np.array([k != 4 for k in frames]), 0.8)


@pytest.fixture(scope="module")
def recovery() -> VideoRecovery:
    motions = [motion(1, list(range(9)), -0.5), motion(4, [3, 4, 7, 8], 0.5)]
    facts = Camera.guess(SIZE), "guessed", motions, BodyModel.load("open-low"), "made-up"
    return VideoRecovery(np.arange(COUNT) / FPS, SIZE, *facts)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose frame k is grey 20 k."""
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for k in range(COUNT):
            picture = np.full((SIZE[1], SIZE[0], 3), 20 * k, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture
def viewer(recovery: VideoRecovery, film: Path) -> Iterator[object]:
    pytest.importorskip("viser")
    from humesh.scene.viewer import Viewer

    opened = Viewer(recovery, film, port=18080)
    yield opened
    opened.close()


def test_frames_show_who_is_there(viewer, recovery: VideoRecovery) -> None:
    for frame in (0, 3, 5, 8, 9, 2):
        viewer.frame.value = frame
        viewer.step(0.0)
        assert viewer.shown == frame
        for person, (mesh, label) in zip(recovery.motions, viewer.people, strict=True):
            assert mesh.visible == label.visible == (frame in person.frames)
        assert f"{frame / FPS:.2f} s" in viewer.told.content
        assert np.abs(viewer.picture.image.astype(int) - 20 * frame).max() < 8
    assert "People: 1" in viewer.told.content


def test_bones_are_where_the_body_is(viewer, recovery: VideoRecovery) -> None:
    """The browser skins by the bones: moved by them from rest, the surface is the body model's."""
    viewer.show(4)
    assert "4 (not found, put in between)" in viewer.told.content
    person, body, (mesh, _) = recovery.motions[1], recovery.body, viewer.people[1]
    rest = body.rest_joints(person.pose.shape[0]).numpy()
    turns = Rotation.from_quat([np.roll(bone.wxyz, -1) for bone in mesh.bones]).as_matrix()
    places = np.stack([bone.position for bone in mesh.bones])
    moved = np.einsum("jab,vjb->vja", turns, mesh.vertices[:, None] - rest) + places
    skinned = (moved * body.weights.numpy().T[..., None]).sum(1)
    np.testing.assert_allclose(skinned, body(person.pose).vertices[1], atol=1e-5)


def test_playing_goes_by_the_clock_and_round(viewer) -> None:
    viewer.playing.value = True
    viewer.step(0.25)
    assert viewer.shown == 2
    viewer.speed.value = 2.0
    viewer.step(0.3)
    assert viewer.shown == 8
    viewer.frame.value = 1  # somebody moves the slider while it plays
    viewer.step(0.0)
    assert viewer.shown == 1
    viewer.step(0.7)
    assert viewer.shown == 0
    assert viewer.frame.value == 0


def test_view_tells_what_is_wrong(tmp_path: Path, recovery: VideoRecovery) -> None:
    with pytest.raises(UserError, match=r"none.npz: expected a video's .npz of humesh"):
        view(tmp_path / "none.npz")
    pytest.importorskip("viser")
    [path] = save_video(recovery, tmp_path / "clip", ["npz"])
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError, match=r"text.mp4"):
        view(path, video=tmp_path / "text.mp4")


@pytest.mark.slow
def test_a_browser_shows_the_people(viewer) -> None:
    """In headless Chromium: the blue person is there, walks, is followed, and is gone when it has left."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    threading.Thread(target=viewer.run, daemon=True).start()

    def blue() -> float:
        """The mean column of the pixels in the first colour of the palette, or -1 without any."""
        page.wait_for_timeout(2500)
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)[:, :700]
        found = np.argwhere((pixels[..., 2] - pixels[..., 0] > 45) & (pixels.sum(-1) > 250))
        return float(found[:, 1].mean()) if len(found) > 300 else -1.0

    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1000, "height": 600})
        page.goto(f"http://127.0.0.1:{viewer.port}")
        page.get_by_text("People: 1").wait_for(timeout=30000)
        at_first = blue()
        assert at_first > 0
        viewer.frame.value = 8
        later = blue()
        assert later > at_first + 20, "walks to the right"
        viewer.follow.value, viewer.frame.value = "person 1", 0
        assert blue() == pytest.approx(later, abs=10), "the camera goes along"
        viewer.frame.value = 10
        assert blue() == -1, "has left"
        browser.close()
