"""A camera's RTSP, as FFmpeg's client reads it: over TCP, MPEG-TS in RTP packets (RFC 2326, 2250)."""

from __future__ import annotations

import itertools
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest

from humesh.media.video import Video

_DESCRIPTION = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:video\r\n"
_ANSWERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(_DESCRIPTION)}\r\n\r\n{_DESCRIPTION}",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
    "PLAY": "Session: 1\r\n\r\n",
}


class _Packets:
    """A file whose bytes go out as interleaved RTP packets of MPEG-TS (payload type 33)."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.numbers, self.rest = connection, itertools.count(), b""

    def write(self, data: bytes) -> int:
        self.rest += data
        while len(self.rest) >= 188:
            payload, self.rest = self.rest[:188], self.rest[188:]
            packet = struct.pack(">BBHII", 0x80, 33, next(self.numbers) % 2**16, 0, 7) + payload
            self.connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        return len(data)


@pytest.fixture
def camera(live_stream: Any) -> Iterator[str]:
    """The address of a camera that sends `live_stream`'s frames."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            verb = ""
            while verb != "PLAY":
                verb, *_ = self.rfile.readline().decode().split() or [""]
                lines = list(iter(lambda: self.rfile.readline().decode().strip(), ""))
                sequence = next((line for line in lines if line.lower().startswith("cseq")), "")
                if verb not in _ANSWERS:
                    return
                self.wfile.write(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{_ANSWERS[verb]}".encode())
            try:
                live_stream.ts(_Packets(self.connection))
            except OSError:
                """The client has gone."""

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"rtsp://127.0.0.1:{server.server_address[1]}/live"
        live_stream.stopped.set()
        server.shutdown()
        thread.join()


def test_a_cameras_frames_come_as_they_are_sent(camera: str, live_stream: Any) -> None:
    video = Video(camera)
    with closing(video.newest()) as frames:
        taken = list(islice(frames, 10))
    assert video.live
    assert video.endless
    assert video.size == (64, 48)
    grey = [int(frame.pixels.mean()) for frame in taken]
    assert grey == sorted(grey)
    assert np.diff(grey).max() >= 1  # another picture
    assert live_stream.sent - (grey[-1] - 20) < 25  # within a second of the newest
