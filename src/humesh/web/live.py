"""A page that shows pictures as they are made: motion JPEG, for the browsers that know its address."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jaxtyping import UInt8
from PIL import Image

from humesh.web.server import Guard, guarded_app

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_LARGEST = (1280, 1280)  # pixels of a picture; larger ones are scaled down
_POLL_S = 0.01
_HEAD = b"--humesh-picture\r\nContent-Type: image/jpeg\r\n\r\n"


class Preview:
    """The picture to be shown; a browser that is slow misses pictures and never lags behind."""

    def __init__(self) -> None:
        self._newest: tuple[int, np.ndarray | None] = 0, None  # its number and pixels, replaced at once
        self._ended = False

    def show(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        """Replaces the picture, which must not be changed afterwards; costs nothing while nobody watches."""
        self._newest = self._newest[0] + 1, pixels

    def close(self) -> None:
        """Ends the stream of every browser."""
        self._ended = True

    async def stream(self) -> AsyncIterator[bytes]:
        """The body of a multipart/x-mixed-replace answer, from the present picture on.

        Chromium shows a picture when the head of the next part has come, so that is sent at once.
        """
        last = 0
        yield _HEAD
        while not self._ended:
            number, pixels = self._newest
            if pixels is None or number == last:
                await asyncio.sleep(_POLL_S)
                continue
            yield await asyncio.to_thread(_jpeg, pixels) + b"\r\n" + _HEAD
            last = number


def _jpeg(pixels: UInt8[np.ndarray, "H W 3"]) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail(_LARGEST)
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def make_live_app(preview: Preview, guard: Guard) -> FastAPI:
    """The web application that shows a preview."""
    app, home = guarded_app(guard, _POLICY), files("humesh.web") / "page"
    page = (home / "live.html").read_text()

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/live")
    def live() -> StreamingResponse:
        return StreamingResponse(preview.stream(), media_type="multipart/x-mixed-replace; boundary=humesh-picture")

    app.mount("/page", StaticFiles(directory=Path(str(home))))
    return app
