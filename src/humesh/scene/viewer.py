"""A video's people in a web page, in 3D: scrub, play, orbit, follow somebody; needs `pip install "humesh[view]"`.

The scene is the camera's frame in metres; the page is told that -y is up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.body.joints import SMPL24
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel
from humesh.errors import HumeshError
from humesh.media.video import Frame, Video
from humesh.scene.gltf import quaternions
from humesh.scene.overlay import colours
from humesh.scene.record import exact
from humesh.scene.result import Motion, VideoResult
from humesh.scene.web_guard import Guard

_WIDTH = 480  # px of the video's picture beside the scene
_AHEAD = 2.0  # seconds that the video is read on to come to a later time; beyond it is opened anew there
_TICK = 1e-3  # seconds; times in files are rounded
_NOBODY = "nobody"


class ViewerError(HumeshError, ImportError):
    """A viewer that cannot be shown with what is installed."""


class Viewer:
    """A running web server with the scene, for the browser that opens `url`; `run` plays it.

    Raises ViewerError where viser is missing or another than is known.
    """

    def __init__(
        self, recovery: VideoResult, video: str | Path | None = None, host: str = "127.0.0.1", port: int = 8080
    ) -> None:
        try:
            import viser
            import websockets.asyncio.server  # on which viser is built
        except ImportError:
            raise ViewerError('the viewer needs the package viser; run: pip install "humesh[view]"') from None
        self.recovery, self.shown, self.clock = recovery, -1, 0.0
        self.pictures = None if video is None else _Pictures(video)
        try:
            socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:  # viser would try for ever
            raise ViewerError(f"host {host!r}: expected an address of this computer ({error.strerror}).") from None
        guard = Guard(host)
        with guard.before(websockets.asyncio.server):
            self.server = viser.ViserServer(host=host, port=port, label="humesh", verbose=False)
        if not guard.placed:
            self.server.stop()
            raise ViewerError("this version of viser cannot be guarded from other pages; run: pip install viser==1.1.1")
        self.port: int = self.server.get_port()  # another one, where the wanted one is taken
        name = "127.0.0.1" if guard.everywhere else f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.port}/?token={guard.token}"
        self._build_scene()
        self._build_panel()
        self.show(0)

    def _build_scene(self) -> None:
        scene, recovery, body = self.server.scene, self.recovery, self.recovery.body
        scene.set_up_direction("-y")
        (width, height), focal = recovery.size, float(recovery.camera.focal_px)
        scene.add_camera_frustum("/camera", 2 * np.arctan(height / 2 / focal), width / height, scale=0.25)
        faces, weights = np.asarray(body.faces), body.weights.detach().cpu().numpy().T
        self.people = []
        for motion, colour in zip(recovery.tracks, colours(len(recovery.tracks)), strict=True):
            shape = motion.pose.shape[0].detach().cpu()
            rest, name = body.rest_joints(shape).numpy(), f"/person{motion.track}"
            upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(rest), 1))
            mesh = scene.add_mesh_skinned(
                name,
                body.rest_vertices(shape).numpy(),
                faces,
                bone_wxyzs=upright,
                bone_positions=rest,
                skin_weights=weights,
                color=tuple(np.rint(255 * colour).astype(int).tolist()),
                visible=False,
            )
            self.people.append((mesh, scene.add_label(f"{name}_label", str(motion.track), visible=False)))
        places = np.concatenate([np.zeros((1, 3)), *(_pelvis(m, body) for m in recovery.tracks)])[1:]
        middle = np.median(places, axis=0) if len(places) else np.array([0.0, 0.0, 3.0])
        # Where the soles of somebody standing upright are; to know it better all frames had to be posed.
        floor = middle[1] + max((_height(m, body) for m in recovery.tracks), default=1.0)
        scene.add_grid("/floor", plane="xz", position=(middle[0], floor, middle[2]), infinite_grid=True, cell_size=0.5)
        self.server.initial_camera.position = tuple(middle + np.array([0.35, -0.3, -1.0]) * max(3.0, 0.7 * middle[2]))
        self.server.initial_camera.look_at = tuple(middle)

    def _build_panel(self) -> None:
        gui, last = self.server.gui, max(1, len(self.recovery.times) - 1)
        self.frame = gui.add_slider("frame", 0, last, 1, 0)
        self.playing = gui.add_checkbox("play", False)
        self.speed = gui.add_slider("speed", 0.1, 2.0, 0.1, 1.0)
        self.follow = gui.add_dropdown("follow", (_NOBODY, *(f"person {m.track}" for m in self.recovery.tracks)))
        self.told = gui.add_markdown("")
        blank = np.full((*self.recovery.size[::-1], 3), 255, np.uint8)
        self.picture = None if self.pictures is None else gui.add_image(_small(blank), label="video", format="jpeg")

    def run(self) -> None:
        """Plays and follows the panel until it is interrupted."""
        last = time.monotonic()
        while True:
            now = time.monotonic()
            self.step(now - last)
            last = now
            time.sleep(0.01)

    def step(self, seconds: float) -> None:
        """Lets time go by: plays on, from the end again at the start, and shows what the slider says."""
        times, frame = self.recovery.times, int(self.frame.value)
        if not self.playing.value or frame != self.shown:  # somebody moves the slider
            self.clock = float(times[frame]) if frame < len(times) else 0.0
        if self.playing.value and len(times) > 1:
            self.clock += seconds * self.speed.value
            if self.clock > times[-1] + 1 / self.recovery.fps:
                self.clock = float(times[0])
            frame = max(0, int(np.searchsorted(times, self.clock, side="right")) - 1)
        if frame != self.shown:
            self.frame.value = frame
            self.show(frame)

    def show(self, frame: int) -> None:
        """Puts everybody as they are in a frame."""
        recovery = self.recovery
        if frame >= len(recovery.times):  # a slider needs two places, a video may have one frame
            return
        there = []
        with self.server.atomic():
            for motion, (mesh, label) in zip(recovery.tracks, self.people, strict=True):
                k = int(np.searchsorted(motion.frames, frame))
                seen = k < len(motion.frames) and motion.frames[k] == frame
                mesh.visible = label.visible = seen
                if not seen:
                    continue
                pose = motion.pose.map(itemgetter(k)).map(lambda tensor: tensor.detach().cpu())
                turns, joints = forward_kinematics(pose.rotations, recovery.body.rest_joints(pose.shape))
                places = (joints + pose.translation).numpy()
                for bone, turn, place in zip(mesh.bones, quaternions(turns).numpy(), places, strict=True):
                    bone.wxyz, bone.position = np.roll(turn, 1), place  # w comes first here
                label.position = places[SMPL24.index("head")] - (0, 0.3, 0)
                there.append(f"{motion.track}" if motion.found[k] else f"{motion.track} (not found, put in between)")
            self._go_along(frame)
        told = f"{recovery.times[frame]:.2f} s, frame {frame} of {len(recovery.times)}"
        self.told.content = f"{told}  \nPeople: {', '.join(there) or 'nobody'}"
        if self.pictures is not None and self.picture is not None:
            pixels = self.pictures.at(float(recovery.times[frame]))
            if pixels is not None:
                self.picture.image = _small(pixels)
        self.shown = frame

    def _go_along(self, frame: int) -> None:
        """Moves all onlookers' cameras as the followed person has moved since the frame shown before."""
        if self.follow.value == _NOBODY or self.shown < 0:
            return
        motion = next(m for m in self.recovery.tracks if f"person {m.track}" == self.follow.value)
        ends = (min(max(f, motion.frames[0]), motion.frames[-1]) for f in (self.shown, frame))
        place = _pelvis(motion, self.recovery.body)
        before, now = (np.array([np.interp(f, motion.frames, place[:, axis]) for axis in range(3)]) for f in ends)
        for client in self.server.get_clients().values():
            if client.camera.update_timestamp:  # else it has not told yet where it is
                client.camera.position = client.camera.position + (now - before)  # takes the point looked at along

    def close(self) -> None:
        """Stops the server."""
        self.server.stop()


class _Pictures:
    """The pictures of a video at given times: read on while it plays, opened anew after a jump."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.frames: Iterator[Frame] = iter(())
        self.last: Frame | None = None
        self.at(0.0)  # a file that is no video is told of at once, by VideoError

    def at(self, seconds: float) -> UInt8[np.ndarray, "H W 3"] | None:
        """The first picture at or after a time; at the end the last one."""
        if self.last is None or not self.last.time_s - _TICK <= seconds <= self.last.time_s + _AHEAD:
            self.frames, self.last = iter(Video(self.path, start_s=max(0.0, seconds - _TICK))), None
        while self.last is None or self.last.time_s < seconds - _TICK:
            frame = next(self.frames, None)
            if frame is None:
                break
            self.last = frame
        return None if self.last is None else self.last.pixels


def _pelvis(motion: Motion, body: BodyModel) -> Float[np.ndarray, "F 3"]:
    """Where a person's pelvis is, metres."""
    pose = motion.pose.map(exact)
    return (body.rest_joints(pose.shape[0])[SMPL24.index("pelvis")] + pose.translation).numpy()


def _height(motion: Motion, body: BodyModel) -> float:
    """Metres from the pelvis down to the soles of the body at rest."""
    shape = motion.pose.shape[0].detach().cpu()
    pelvis = body.rest_joints(shape)[SMPL24.index("pelvis"), 1]
    return float(pelvis - body.rest_vertices(shape)[:, 1].min())


def _small(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_WIDTH, _WIDTH))
    return np.asarray(picture)
