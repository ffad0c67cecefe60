"""Who may read the viewer's page: only the browser that opened the address that was printed."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

_EVERYWHERE = ("", "0.0.0.0", "::")
_REFUSED = "Refused: open the address that `humesh view` printed, with its token (through ssh: on the same port).\n"


class Guard:
    """Looks at every request before the server does, those for websockets too.

    A page of another site can make the browser send requests here, and its name may even lead here (DNS rebinding):
    `Host` must be an address of this server, and `Origin` the same one. The secret `token` of the address becomes a
    cookie, so that other users of this computer, and of the network with 0.0.0.0, are kept out as well.
    """

    def __init__(self, host: str) -> None:
        self.token, self.everywhere = secrets.token_urlsafe(16), host in _EVERYWHERE
        self.names = {
            "127.0.0.1",
            "localhost",
            "::1",
            socket.gethostname().lower() if self.everywhere else host.lower(),
        }
        self.placed = False

    @contextmanager
    def before(self, module: Any) -> Iterator[None]:
        """Stands before each server that is started meanwhile by `serve` of the module websockets.asyncio.server."""
        plain = module.serve

        def serve(*args: Any, process_request: Callable[..., Any] | None = None, **more: Any) -> Any:
            def guarded(connection: Any, request: Any) -> Any:
                port, refused = connection.local_address[1], (HTTPStatus.FORBIDDEN, _REFUSED)
                if not self.lets_in(request.headers, request.path, port):
                    return connection.respond(*refused)
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
        if origins != [f"http://{hosts[0]}"] and (origins or websocket):  # for a websocket browsers always tell it
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
        except ValueError:
            return False
        return name in self.names or (self.everywhere and _is_address(name))


def _is_address(name: str) -> bool:
    """Whether it is a number, which no other site's name can stand for."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(port: int) -> str:
    return f"humesh-view-{port}"  # browsers share cookies between ports
