"""`humesh app` and `humesh view`: a page in the browser to drop photos and videos on, or to show a result."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from humesh.commands.errors import UserError, say, say_error, within

if TYPE_CHECKING:
    from humesh.web.server import Guard

_LOOPBACK, _PORT = "127.0.0.1", 8080


def app(
    host: str = _LOOPBACK,
    port: int = _PORT,
    device: str = "auto",
    max_mb: int = 500,
    max_minutes: float = 10.0,
    max_job_minutes: float = 30.0,
    browser: bool = True,
) -> int:
    """Open a page in the browser: drop a photo or a video on it, see the bodies in 3D; Ctrl-C ends it.

    Args:
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all that know the token.
        port: Port, or the next one that is free.
        device: Where networks run: auto, cpu, cuda[:N] or mps.
        max_mb: Largest file that is taken.
        max_minutes: Longest video that is taken.
        max_job_minutes: Longest work on a file, which then ends, so that the next one has its turn.
        browser: Open the browser.
    """
    from humesh.web.jobs import Jobs, Limits
    from humesh.web.work import Worker

    within("--port", port, 1, 65_000)
    within("--max-job-minutes", max_job_minutes, 0.1, 10_000)
    jobs = Jobs(Worker(device), Limits(max_mb, 60 * max_minutes, 60 * max_job_minutes))
    try:
        return serve(jobs, host, port, browser)
    finally:
        jobs.close()


def view(
    result: tyro.conf.Positional[Path],
    source: Annotated[Path | None, tyro.conf.arg(aliases=["--video", "--photo"])] = None,
    body: str | None = None,
    host: str = _LOOPBACK,
    port: int = _PORT,
    browser: bool = True,
) -> int:
    """Show a result's people in 3D in the browser: play, orbit, follow somebody; Ctrl-C ends it.

    Args:
        result: The .npz of a photo or a video that `humesh predict` wrote.
        source: The photo or video, to see it behind the people; without it the one of the result's name, where it lies
            beside the result.
        body: Your own SMPL .pkl or .npz file, where the result was made with it.
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all that know the token.
        port: Port, or the next one that is free.
        browser: Open the browser.
    """
    from humesh.body.model import BodyModel
    from humesh.scene.record import load
    from humesh.scene.result import Result
    from humesh.web.jobs import Job, Jobs
    from humesh.web.work import shown

    within("--port", port, 1, 65_000)
    own = None if body is None else BodyModel.load(body)
    loaded = load(result, source, own)
    if source is None:  # whoever made the file must not choose which file of this computer is opened
        name = loaded.photo.path if isinstance(loaded, Result) else loaded.path
        beside = result.parent / name.replace("\\", "/").rpartition("/")[2]
        if name and beside.is_file():
            source, loaded = beside, load(result, beside, own)
    if source is None:
        say("The picture itself is not shown: give it with --source.")
    folder = Path(tempfile.mkdtemp(prefix="humesh-view-"))
    jobs = Jobs(lambda job, limits: None)
    try:
        job = Job("", result.name, folder, state="done")
        job.result = shown(loaded, folder / result.stem, ["glb"], lambda *progress: None)
        return serve(jobs, host, port, browser, job)
    finally:
        jobs.close()
        shutil.rmtree(folder, ignore_errors=True)


def serve(jobs: Any, host: str, port: int, browser: bool, only: Any = None) -> int:
    """Serves the page until Ctrl-C, at this port or the next free one."""
    import signal

    with _packages():
        from humesh.web.server import Guard, make_app

        guard = Guard(host)
        place, url = _listening(guard, host, port)
        server = _server(make_app(jobs, guard, only))
    say(f"{url} (Ctrl-C ends)")
    if guard.everywhere:
        there = url.replace(_LOOPBACK, socket.gethostname(), 1)
        say(f"From other computers: {there}, or with this computer's address.")
    if browser:
        webbrowser.open(url)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # else it would leave the files
    try:
        server.run(sockets=[place])
    except KeyboardInterrupt:  # which uvicorn raises again when it has ended
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


@contextmanager
def previewing() -> Iterator[Callable[[Any], None]]:
    """A page for this computer's browsers, whose address is printed; gives what shows a picture on it."""
    with _packages():
        from humesh.web.server import Guard, Preview, make_live_app

        guard, preview = Guard(_LOOPBACK), Preview()
        place, url = _listening(guard, _LOOPBACK, _PORT)
        server = _server(make_live_app(preview, guard))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    say_error(f"preview: {url}")
    try:
        yield preview.show
    finally:
        preview.close()
        server.should_exit = True
        thread.join(5)


@contextmanager
def _packages() -> Iterator[None]:
    """UserError where a package that the page needs is not installed."""
    try:
        yield
    except ImportError:
        raise UserError('the page needs the packages fastapi and uvicorn; run: pip install "humesh[app]"') from None


def _server(app: Any) -> Any:
    """What serves an application, and ends it within seconds."""
    import logging

    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # uploads that end with it are no errors
            await super().shutdown(sockets)

    config = uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False, timeout_graceful_shutdown=1)
    return Server(config)


def _listening(guard: Guard, host: str, port: int) -> tuple[socket.socket, str]:
    """A socket at this port or the next free one, and its address with the token; UserError where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, min(port + 50, 65_535)):
        place = socket.socket(family)
        if os.name == "posix":  # Windows would share the port with a program that has it
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, number))
            place.listen()  # so that nobody else takes the port, and the browser finds it open
            break
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a computer
            place.close()
            code, why = getattr(error, "errno", None), getattr(error, "strerror", None) or error
            if code == errno.EACCES:
                raise UserError(f"--port {number}: expected a port that you may use ({why}); take 8080.") from None
            if code != errno.EADDRINUSE:  # taken: try the next one
                raise UserError(f"--host {host}: expected an address of this computer ({why}).") from None
    else:
        raise UserError(f"--port {port}: expected a free port at or after it, found none; name another one.")
    name = _LOOPBACK if guard.everywhere else f"[{host}]" if ":" in host else host
    return place, f"http://{name}:{number}/?token={guard.token}"
