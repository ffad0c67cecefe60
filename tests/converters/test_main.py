"""The command that the build runs: which networks it makes of which files."""

from __future__ import annotations

from pathlib import Path

import pytest

main = pytest.importorskip("converters.__main__", reason="needed by the build only")


def test_networks_whose_files_lack_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    for name in ("one.json", "one.bin", "two.json"):
        (tmp_path / name).write_text(name)
    networks = {name: ([f"{name}.json", f"{name}.bin"], lambda *data: b" ".join(data)) for name in ("one", "two")}
    monkeypatch.setattr(main, "NETWORKS", networks)
    main.main(tmp_path, tmp_path / "made")
    assert {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()} == {"one.onnx": b"one.json one.bin"}
