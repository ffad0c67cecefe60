"""The servers of the page and of a preview, for the browsers that know their address (FastAPI).

A page of another site can make a browser send requests here, and its name may even lead here (DNS rebinding). So
`Host` must be an address of this computer, `Origin` the same one where a request changes something, and the secret
token of the printed address is asked for, which a cookie keeps. Files are served from one job's folder, by the names
that the job lists.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import ipaddress
import re
import secrets
import socket
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jaxtyping import UInt8
from PIL import Image
from starlette.requests import ClientDisconnect

from humesh.web.jobs import Job, Jobs, Limits

STALLED_S = 30.0  # without a byte of an upload, which then ends: else it would block its user
_EVERYWHERE = ("", "0.0.0.0", "::")
_ASK = """<!doctype html><meta charset="utf-8"><title>humesh</title><form method="get" action="./">
<p>This page wants the token of the address that the program printed.</p>
<input name="token" aria-label="token" autofocus> <button>Enter</button></form>"""
_LIVE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_LARGEST = (1280, 1280)  # pixels of a preview's picture; larger ones are scaled down
_POLL_S = 0.01
_HEAD = b"--humesh-picture\r\nContent-Type: image/jpeg\r\n\r\n"


class Guard:
    """Which requests may be answered by a server at `host`; `token` is the secret of its address."""

    def __init__(self, host: str) -> None:
        self.token, self.everywhere = secrets.token_urlsafe(16), host in _EVERYWHERE
        own = socket.gethostname().lower() if self.everywhere else host.lower()
        self.names = {"127.0.0.1", "localhost", "::1", own}

    def host_is_ours(self, host: str) -> bool:
        """Whether a `Host` header names this computer: no other site's name can lead here."""
        try:
            name = urlsplit(f"http://{host}").hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.everywhere and _is_address(name))

    def knows_token(self, given: str) -> bool:
        """Whether it is the token; takes as long for any other."""
        return secrets.compare_digest(given.encode(), self.token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def guarded_app(guard: Guard, policy: str) -> FastAPI:
    """An application without pages yet, which answers only the browsers that the guard lets in; `policy`: of content.

    `request.state.user` is a secret name of the browser, empty with its first request.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Response:
        """Refuses whatever does not come from this page."""
        host, cookie = request.headers.get("host", ""), f"humesh-{request.url.port or 80}"
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        changes = request.method not in ("GET", "HEAD")
        if not guard.host_is_ours(host) or foreign or (changes and origin is None):
            return JSONResponse({"detail": "Refused: open the address that the program printed."}, 403)
        user = request.cookies.get(f"{cookie}-user", "")
        given = request.query_params.get("token", request.cookies.get(cookie, ""))
        if not guard.knows_token(given):
            refused = HTMLResponse(_ASK, 403) if request.url.path == "/" else JSONResponse({"detail": "Token?"}, 403)
            return _sealed(refused, policy)
        if "token" in request.query_params and not changes:
            response: Response = RedirectResponse("/", 303)  # the token does not stay in the address bar
        else:
            request.state.user = user
            response = await call_next(request)
        for name, value in ((cookie, guard.token), (f"{cookie}-user", user or secrets.token_urlsafe(16))):
            if request.cookies.get(name) != value:
                response.set_cookie(name, value, httponly=True, samesite="strict", path="/")
        return _sealed(response, policy)

    return app


def make_app(jobs: Jobs, guard: Guard, only: Job | None = None) -> FastAPI:
    """The web application; `only`: a finished job that is all that is shown (`humesh view`)."""
    home = files("humesh.web")
    page = (home / "page" / "index.html").read_text()
    (inline,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; connect-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
    app = guarded_app(guard, policy)

    def job_of(number: str, request: Request) -> Job:
        if only is not None and number == only.id:
            return only
        job = jobs.get(number, request.state.user)
        if job is None:
            raise HTTPException(404, "There is no such job any more: results are kept for an hour.")
        return job

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/about")
    def about(request: Request) -> dict[str, Any]:
        mine = only or jobs.of_user(request.state.user)
        return {"limits": jobs.limits.sentence, "job": mine and mine.id, "only": only is not None}

    @app.post("/jobs")
    async def give(request: Request, name: str = "file", id: str = "") -> dict[str, Any]:
        """Takes a file as the body of the request, never more of it than the limit; `id`: of the job, 24 hex digits."""
        if only is not None or not request.state.user:
            raise HTTPException(403, "This page takes no files.")
        if not re.fullmatch(r"[0-9a-f]{24}|", id):
            raise HTTPException(422, "Expected a job's id of 24 hexadecimal digits.")
        job = jobs.begin(request.state.user, name, id)
        if job is None:
            raise HTTPException(409, "Your last file is still worked on: wait for it, or cancel it.")
        try:
            await _receive(request, job, jobs.limits)
            if job.cancelled:
                raise HTTPException(409, "The file was cancelled.")
        except BaseException:  # also where the server ends
            jobs.remove(job)
            raise
        jobs.enqueue(job)
        return jobs.state(job)

    @app.get("/jobs/{number}")
    def state(number: str, request: Request) -> dict[str, Any]:
        return jobs.state(job_of(number, request))

    @app.delete("/jobs/{number}")
    def cancel(number: str, request: Request) -> dict[str, Any]:
        if only is None:
            jobs.remove(job_of(number, request))
        return {}

    @app.get("/jobs/{number}/files/{name}")
    def file(number: str, name: str, request: Request) -> FileResponse:
        path = job_of(number, request).served().get(name)
        if path is None or not path.is_file():
            raise HTTPException(404, "There is no such file.")
        return FileResponse(path)

    for folder in ("page", "three"):
        app.mount(f"/{folder}", StaticFiles(directory=Path(str(home / folder))))
    return app


async def _receive(request: Request, job: Job, limits: Limits) -> None:
    """Writes a request's body as the job's file; raises HTTPException where it is too large or does not come."""
    stream, received = request.stream(), 0
    try:
        with open(job.input, "wb") as file:
            while True:
                async with asyncio.timeout(STALLED_S):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                received += len(chunk)
                if job.cancelled:
                    raise HTTPException(409, "The file was cancelled.")
                if received > limits.bytes:
                    raise HTTPException(413, f"Expected a file of at most {limits.megabytes} MB, got a larger one.")
                file.write(chunk)
    except TimeoutError:
        raise HTTPException(408, f"Nothing of the file came for {STALLED_S:g} s; send it again.") from None
    except ClientDisconnect:  # nobody reads the answer
        raise HTTPException(400, "The browser went away.") from None
    except OSError as error:
        raise HTTPException(507, f"The file cannot be kept here ({error.strerror}).") from None


def _sealed(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


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
    app, home = guarded_app(guard, _LIVE_POLICY), files("humesh.web") / "page"
    page = (home / "live.html").read_text()

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/live")
    def live() -> StreamingResponse:
        return StreamingResponse(preview.stream(), media_type="multipart/x-mixed-replace; boundary=humesh-picture")

    app.mount("/page", StaticFiles(directory=Path(str(home))))
    return app
