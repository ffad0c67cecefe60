"""`humesh app` as a process: it starts with an address or a sentence, and ends without leaving files."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from humesh.commands.app import serve
from humesh.commands.errors import UserError

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

COMMAND = "from humesh.commands.main import main; main()"


def _app(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-c", COMMAND, "app", "--no-browser", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _address(process: subprocess.Popen[str]) -> tuple[str, int, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://(\S+):(\d+)/\?token=(\S+)", line)
    assert found is not None, line
    return found[1], int(found[2]), found[3]


def _said(connection: socket.socket) -> str:
    data = b""
    while block := connection.recv(65536):
        data += block
    return data.decode()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_quietly_with_an_upload_half_sent(tmp_path: Path, name: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        _app(tmp_path, "--port", str(other.getsockname()[1])) as process,
    ):
        host, port, token = _address(process)
        assert port != other.getsockname()[1]  # that one is taken
        with socket.create_connection((host, port)) as opening:
            opening.sendall(
                f"GET /?token={token} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            cookies = "; ".join(re.findall(r"set-cookie: ([^;]+)", _said(opening)))
        with socket.create_connection((host, port)) as half:
            half.sendall(
                f"POST /jobs HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n"
                f"Cookie: {cookies}\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\nhalf".encode()
            )
            assert half.recv(100).startswith(b"HTTP/1.1 100")  # it is being taken
            assert len(list(tmp_path.glob("humesh-app-*/*/given"))) == 1
            process.send_signal(getattr(signal, name))
            assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["8.8.8.8", "no.such.host.invalid", "a" * 70 + ".b", "fe80::zz"])
def test_a_host_that_is_no_address_of_ours_gets_a_sentence(host: str) -> None:
    with pytest.raises(UserError, match=rf"--host {host}: expected an address of this computer \("):
        serve(None, host, 8810, browser=False)
