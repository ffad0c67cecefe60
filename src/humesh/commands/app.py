"""`humesh app`: a page in the browser to drop photos and videos on."""

from __future__ import annotations

import webbrowser
from typing import Any

from humesh.commands.errors import UserError, say, within


def app(
    host: str = "127.0.0.1",
    port: int = 8080,
    device: str = "auto",
    max_mb: int = 500,
    max_minutes: float = 10.0,
    browser: bool = True,
) -> int:
    """Open a page in the browser: drop a photo or a video on it, see the bodies in 3D; Ctrl-C ends it.

    Args:
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all that know the token.
        port: Port, or the next one that is free.
        device: Where networks run: auto, cpu, cuda[:N] or mps.
        max_mb: Largest file that is taken.
        max_minutes: Longest video that is taken.
        browser: Open the browser.
    """
    from humesh.web.jobs import Jobs, Limits
    from humesh.web.work import Worker

    within("--port", port, 1, 65_000)
    jobs = Jobs(Worker(device), Limits(max_mb, 60 * max_minutes))
    try:
        return serve(jobs, host, port, browser)
    finally:
        jobs.close()


def serve(jobs: Any, host: str, port: int, browser: bool, only: Any = None) -> int:
    """Serves the page until Ctrl-C, at this port or the next free one."""
    import errno
    import logging
    import os
    import signal
    import socket

    try:
        import uvicorn

        from humesh.web.server import Guard, make_app
    except ImportError:
        raise UserError('the page needs the packages fastapi and uvicorn; run: pip install "humesh[app]"') from None
    guard = Guard(host)
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
    name = "127.0.0.1" if guard.everywhere else f"[{host}]" if ":" in host else host
    url = f"http://{name}:{number}/?token={guard.token}"
    say(f"{url} (Ctrl-C ends)")
    if guard.everywhere:
        say(f"From other computers: {url.replace(name, socket.gethostname(), 1)}, or with this computer's address.")
    if browser:
        webbrowser.open(url)

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # uploads that end with it are no errors
            await super().shutdown(sockets)

    config = uvicorn.Config(
        make_app(jobs, guard, only),
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # else it would leave the files
    try:
        Server(config).run(sockets=[place])
    except KeyboardInterrupt:  # which uvicorn raises again when it has ended
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
