"""Shapes in annotations are checked at run time in every test; hypothesis draws the same examples each time."""

from jaxtyping import install_import_hook

install_import_hook("humesh", "beartype.beartype")

import os  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from fractions import Fraction  # noqa: E402
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: E402
from typing import Any  # noqa: E402

import av  # noqa: E402
import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from humesh.body.model import BodyModel  # noqa: E402

hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("same")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # a core a worker


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def open_body() -> BodyModel:
    return BodyModel.load("open")


@pytest.fixture(scope="session")
def small_body() -> BodyModel:
    return BodyModel.load("open-low")


class LiveStream:
    """Streams on the loopback that are encoded as they are sent, from frame 0 on for each connection.

    /live.ts: MPEG-TS, 25 frames a second; /live.mjpg: motion JPEG without times, 10 a second, as cameras send it.
    """

    def __init__(self) -> None:
        self.sent = 0  # frames, over the last connection
        self.stopped = threading.Event()
        stream = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

            def do_GET(self) -> None:
                is_ts = self.path == "/live.ts"
                kind, send = (
                    ("video/mp2t", stream.ts) if is_ts else ("multipart/x-mixed-replace; boundary=x", stream.jpeg)
                )
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                try:
                    send(self.wfile)
                except (OSError, av.FFmpegError):
                    """The user has gone."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def frames(self, fps: int) -> Iterator[Any]:
        """Grey frames of 64 x 48, each when its time has come."""
        began, self.sent = time.monotonic(), 0
        for number in range(1000):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + number % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            yield frame
            self.sent = number + 1
            if self.stopped.wait(max(0.0, began + (number + 1) / fps - time.monotonic())):
                return

    def ts(self, file: Any) -> None:
        """MPEG-TS into a file."""
        with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as container:
            stream: Any = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = 64, 48, "yuv420p", 5
            for frame in self.frames(25):
                container.mux(stream.encode(frame))

    def jpeg(self, file: Any) -> None:
        """Motion JPEG into a file."""
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuvj420p", Fraction(1, 10)
        for frame in self.frames(10):
            for packet in encoder.encode(frame.reformat(format="yuvj420p")):
                file.write(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + bytes(packet) + b"\r\n")
                file.flush()


@pytest.fixture
def live_stream() -> Iterator[LiveStream]:
    """Streams without an end."""
    stream = LiveStream()
    thread = threading.Thread(target=stream.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stream
    stream.stopped.set()
    stream.server.shutdown()
    thread.join()
    stream.server.server_close()
