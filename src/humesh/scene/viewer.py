"""A video's people in a web page, in 3D: scrub, play, orbit, follow somebody; needs `pip install "humesh[view]"`.

The scene is the camera frame in metres; the page knows that -y is up.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.body.joints import SMPL24
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel
from humesh.errors import HumeshError
from humesh.media.video import Frame, Video
from humesh.scene.gltf import quaternions
from humesh.scene.render import colours
from humesh.scene.result import Motion, VideoResult, exact

_WIDTH = 480  # px of the video's picture beside the scene
_AHEAD_S = 2.0  # that the video is read on to come to a later time; beyond it is opened anew there
_TICK_S = 1e-3  # times in files are rounded
_NOBODY = "nobody"
_EVERYWHERE = ("", "0.0.0.0", "::")
_REFUSED = "Refused: open the address that `humesh view` printed, with its token (through ssh: on the same port).\n"


class ViewerError(HumeshError, ImportError):
    """A viewer that cannot be shown with what is installed."""


class Viewer:
    """A running web server with the scene, for the browser that opens `url`; `run` plays it.

    Raises ViewerError where viser is missing or another than is known.
    """

    def __init__(
        self, result: VideoResult, video: str | Path | None = None, host: str = "127.0.0.1", port: int = 8080
    ) -> None:
        try:
            import viser
            import websockets.asyncio.server  # on which viser is built
        except ImportError:
            raise ViewerError('the viewer needs the package viser; run: pip install "humesh[view]"') from None
        self.result, self.shown, self.clock = result, -1, 0.0
        self._pictures = None if video is None else _Pictures(video)
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
        scene, result, body = self.server.scene, self.result, self.result.body
        scene.set_up_direction("-y")
        (width, height), focal = result.size, float(result.camera.focal_px)
        scene.add_camera_frustum("/camera", 2 * np.arctan(height / 2 / focal), width / height, scale=0.25)
        faces, weights = np.asarray(body.faces), body.weights.detach().cpu().numpy().T
        self.people = []
        for motion, colour in zip(result.tracks, colours(len(result.tracks)), strict=True):
            shape = motion.pose.shape[0].detach().cpu()
            rest, name = body.rest_joints(shape).numpy(), f"/person{motion.track}"
            mesh = scene.add_mesh_skinned(
                name,
                body.rest_vertices(shape).numpy(),
                faces,
                bone_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (len(rest), 1)),
                bone_positions=rest,
                skin_weights=weights,
                color=tuple(np.rint(255 * colour).astype(int).tolist()),
                visible=False,
            )
            self.people.append((mesh, scene.add_label(f"{name}_label", str(motion.track), visible=False)))
        places = np.concatenate([np.zeros((1, 3)), *(_pelvis(motion, body) for motion in result.tracks)])[1:]
        middle = np.median(places, axis=0) if len(places) else np.array([0.0, 0.0, 3.0])
        # Where the soles of somebody standing upright are; to know it better all frames had to be posed.
        floor = middle[1] + max((_leg_length(motion, body) for motion in result.tracks), default=1.0)
        scene.add_grid("/floor", plane="xz", position=(middle[0], floor, middle[2]), infinite_grid=True, cell_size=0.5)
        self.server.initial_camera.position = tuple(middle + np.array([0.35, -0.3, -1.0]) * max(3.0, 0.7 * middle[2]))
        self.server.initial_camera.look_at = tuple(middle)

    def _build_panel(self) -> None:
        gui, last = self.server.gui, max(1, len(self.result.times) - 1)
        self.frame = gui.add_slider("frame", 0, last, 1, 0)
        self.playing = gui.add_checkbox("play", False)
        self.speed = gui.add_slider("speed", 0.1, 2.0, 0.1, 1.0)
        self.follow = gui.add_dropdown("follow", (_NOBODY, *(f"person {m.track}" for m in self.result.tracks)))
        self.caption = gui.add_markdown("")
        blank = np.full((*self.result.size[::-1], 3), 255, np.uint8)
        self.picture = None if self._pictures is None else gui.add_image(_small(blank), label="video", format="jpeg")

    def run(self) -> None:
        """Plays and follows the panel until it is interrupted."""
        last = time.monotonic()
        while True:
            now = time.monotonic()
            self.step(now - last)
            last = now
            time.sleep(0.01)

    def step(self, seconds: float) -> None:
        """Lets time pass: plays on, from the end again at the start, and shows the slider's frame."""
        times, frame = self.result.times, int(self.frame.value)
        if not self.playing.value or frame != self.shown:  # somebody moves the slider
            self.clock = float(times[frame]) if frame < len(times) else 0.0
        if self.playing.value and len(times) > 1:
            self.clock += seconds * self.speed.value
            if self.clock > times[-1] + 1 / self.result.fps:
                self.clock = float(times[0])
            frame = max(0, int(np.searchsorted(times, self.clock, side="right")) - 1)
        if frame != self.shown:
            self.frame.value = frame
            self.show(frame)

    def show(self, frame: int) -> None:
        """Puts everybody as they are in a frame."""
        result = self.result
        if frame >= len(result.times):  # a slider needs two places, a video may have one frame
            return
        there = []
        with self.server.atomic():
            for motion, (mesh, label) in zip(result.tracks, self.people, strict=True):
                row = int(np.searchsorted(motion.frames, frame))
                mesh.visible = label.visible = row < len(motion.frames) and bool(motion.frames[row] == frame)
                if not mesh.visible:
                    continue
                pose = motion.pose.map(itemgetter(row)).map(lambda tensor: tensor.detach().cpu())
                turns, joints = forward_kinematics(pose.rotations, result.body.rest_joints(pose.shape))
                places = (joints + pose.translation).numpy()
                for bone, turn, place in zip(mesh.bones, quaternions(turns).numpy(), places, strict=True):
                    bone.wxyz, bone.position = np.roll(turn, 1), place  # w comes first here
                label.position = places[SMPL24.index("head")] - (0, 0.3, 0)
                there.append(f"{motion.track}" if motion.found[row] else f"{motion.track} (not found, interpolated)")
            self._go_along(frame)
        when = f"{result.times[frame]:.2f} s, frame {frame} of {len(result.times)}"
        self.caption.content = f"{when}  \nPeople: {', '.join(there) or 'nobody'}"
        if self._pictures is not None and self.picture is not None:
            pixels = self._pictures.at(float(result.times[frame]))
            if pixels is not None:
                self.picture.image = _small(pixels)
        self.shown = frame

    def _go_along(self, frame: int) -> None:
        """Moves all onlookers' cameras as the followed person has moved since the frame shown before."""
        if self.follow.value == _NOBODY or self.shown < 0:
            return
        motion = next(m for m in self.result.tracks if f"person {m.track}" == self.follow.value)
        place = _pelvis(motion, self.result.body)
        before, now = (
            np.array([np.interp(at, motion.frames, place[:, axis]) for axis in range(3)]) for at in (self.shown, frame)
        )
        for client in self.server.get_clients().values():
            if client.camera.update_timestamp:  # else its place is not known yet
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
        self.at(0.0)  # a file that is no video ends in VideoError at once

    def at(self, seconds: float) -> UInt8[np.ndarray, "H W 3"] | None:
        """The first picture at or after a time; at the end the last one."""
        if self.last is None or not self.last.time_s - _TICK_S <= seconds <= self.last.time_s + _AHEAD_S:
            self.frames, self.last = iter(Video(self.path, start_s=max(0.0, seconds - _TICK_S))), None
        while self.last is None or self.last.time_s < seconds - _TICK_S:
            frame = next(self.frames, None)
            if frame is None:
                break
            self.last = frame
        return None if self.last is None else self.last.pixels


def _pelvis(motion: Motion, body: BodyModel) -> Float[np.ndarray, "F 3"]:
    """Where a person's pelvis is, metres."""
    pose = motion.pose.map(exact)
    return (body.rest_joints(pose.shape[0])[SMPL24.index("pelvis")] + pose.translation).numpy()


def _leg_length(motion: Motion, body: BodyModel) -> float:
    """Metres from the pelvis down to the soles of the body at rest."""
    shape = motion.pose.shape[0].detach().cpu()
    pelvis = body.rest_joints(shape)[SMPL24.index("pelvis"), 1]
    return float(pelvis - body.rest_vertices(shape)[:, 1].min())


def _small(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_WIDTH, _WIDTH))
    return np.asarray(picture)


class Guard:
    """Checks every request before the server sees it: only the browser that opened the printed address is answered.

    A page of another site can make the browser send requests here, and its name may even lead here (DNS rebinding):
    `Host` must be an address of this server, and `Origin` the same one. The secret `token` of the address becomes a
    cookie, so that other users of this computer, and of the network with 0.0.0.0, are kept out as well.
    """

    def __init__(self, host: str) -> None:
        self.token, self.everywhere = secrets.token_urlsafe(16), host in _EVERYWHERE
        self._names = {"127.0.0.1", "localhost", "::1", (socket.gethostname() if self.everywhere else host).lower()}
        self.placed = False

    @contextmanager
    def before(self, module: Any) -> Iterator[None]:
        """Stands before each server that is started meanwhile by `serve` of the module websockets.asyncio.server."""
        plain = module.serve

        def serve(*args: Any, process_request: Callable[..., Any] | None = None, **more: Any) -> Any:
            def guarded(connection: Any, request: Any) -> Any:
                port = connection.local_address[1]
                if not self.lets_in(request.headers, request.path, port):
                    return connection.respond(HTTPStatus.FORBIDDEN, _REFUSED)
                response = None if process_request is None else process_request(connection, request)
                if response is not None:
                    response.headers["Set-Cookie"] = f"{_cookie(port)}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                return response

            self.placed = True
            return plain(*args, process_request=guarded, **more)

        module.serve = serve
        try:
            yield
        finally:
            module.serve = plain

    def lets_in(self, headers: Any, path: str, port: int) -> bool:
        """Whether a request to this port with these headers (of websockets) may be answered."""
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        websocket = "upgrade" in headers
        if len(hosts) != 1 or not self._is_ours(hosts[0], port):
            return False
        if origins != [f"http://{hosts[0]}"] and (origins or websocket):  # browsers always send it for a websocket
            return False
        cookies = [cookie.strip() for line in headers.get_all("Cookie") for cookie in line.split(";")]
        given = [cookie.partition("=")[2] for cookie in cookies if cookie.startswith(f"{_cookie(port)}=")]
        given += [] if websocket else parse_qs(urlsplit(path).query).get("token", [])
        return any(secrets.compare_digest(token.encode(), self.token.encode()) for token in given)

    def _is_ours(self, host: str, port: int) -> bool:
        try:
            place = urlsplit(f"http://{host}")
            name = place.hostname or ""
            if place.netloc != host or "@" in host or (place.port or 80) != port:
                return False
            if self.everywhere and name not in self._names:
                ipaddress.ip_address(name)  # a number, which no other site's name can stand for
        except ValueError:
            return False
        return self.everywhere or name in self._names


def _cookie(port: int) -> str:
    return f"humesh-view-{port}"  # browsers share cookies between ports
