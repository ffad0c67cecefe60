"""The check of the built wheel, on made-up packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import check_wheel
import pytest


def install(folder: Path, name: str, *needs: str, size: int = 10) -> None:
    about = folder / f"{name}-1.dist-info"
    about.mkdir()
    (folder / f"{name}.bin").write_bytes(bytes(size))
    (folder / f"{name}.pyc").write_bytes(bytes(999))
    (about / "RECORD").write_text(f"{name}.bin,,\n{name}.pyc,,\n")
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1", *(f"Requires-Dist: {need}" for need in needs)]
    (about / "METADATA").write_text("\n".join(lines))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(check_wheel, "TORCH", ("Fake-torch",))
    install(
        tmp_path, "mesh", "fake_torch>=2", "part", 'odd; python_version < "3"', 'odd; extra == "all"', size=3 * 2**20
    )
    install(tmp_path, "part", "nvidia-fake", "mesh", size=2 * 2**20)
    install(tmp_path, "fake_torch", "shared", "nvidia-fake", size=1 * 2**20)
    install(tmp_path, "shared", size=4 * 2**20)
    install(tmp_path, "nvidia_fake", size=50 * 2**20)
    (tmp_path / "mesh.whl").write_bytes(bytes(2 * 2**20))
    return tmp_path / "mesh.whl"


def test_only_what_is_needed_counts(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(check_wheel.needed("Mesh")) == {"mesh", "part", "fake-torch", "shared", "nvidia-fake"}
    assert list(check_wheel.sizes(wheel, "mesh")) == []
    assert "wheel: 2.0 MB" in (told := capsys.readouterr().out)
    assert "installed beyond torch, torchvision and timm: 5 MB (at most 410): mesh 3, part 2, smaller ones" in told
    assert "as NumPy, but torch's own parts: 10 MB" in told
    monkeypatch.setattr(check_wheel, "MOST_WHEEL", 1)
    monkeypatch.setattr(check_wheel, "MOST_INSTALLED", 4)
    assert list(check_wheel.sizes(wheel, "mesh")) == ["the wheel has 2.0 MB", "5 MB are installed"]


def test_what_lacks_wheels_is_told(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
        lacks = "3.14" in command and "x86_64-pc-windows-msvc" in command
        return subprocess.CompletedProcess(command, int(lacks), "a\nb\n", "no wheels of\n  av")

    monkeypatch.setattr(check_wheel.subprocess, "run", run)
    assert list(check_wheel.unresolved(wheel)) == ["Python 3.14 on Windows: no wheels of av"]
