"""What a download lacks is counted; every reader of somebody's data says what its download holds."""

from pathlib import Path

import pytest

from humesh.data import DATASETS, Reader
from humesh.data.datasets.download import Download, Files, counts, fingerprint, packed


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.png", "a/.4.jpg", "labels.json")
    (tmp_path / "b/3.png").write_bytes(b"")
    download = Download(
        "https://example.org",
        (Files("a/*.jpg", 2), Files("a/*.jpg|b/*.png", 2), Files("c/*"), Files("labels.json"), Files("a/*.jpg", 3)),
    )
    found = list(counts(download, tmp_path))
    assert [count.number for count in found] == [2, 3, 0, 1, 2]
    assert [count.whole for count in found] == [True, False, False, True, False]
    assert found[1].empty == tmp_path / "b/3.png"
    assert [path.name for path in found[0].some] == ["1.jpg", "2.jpg"]


def test_equal_downloads_have_equal_fingerprints(tmp_path: Path) -> None:
    for root in (tmp_path / "x", tmp_path / "y"):
        write(root, "a/1.jpg", "a/2.jpg")
    paths = [Path("a/1.jpg"), Path("a/2.jpg")]
    x, y = ([root / p for p in paths] for root in (tmp_path / "x", tmp_path / "y"))
    assert fingerprint(tmp_path / "x", x) == fingerprint(tmp_path / "y", y)
    y[1].write_text("another")
    assert fingerprint(tmp_path / "x", x) != fingerprint(tmp_path / "y", y)


def test_archives_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, "images.zip", "labels.tar.gz", "labels.json")
    assert [path.name for path in packed(tmp_path)] == ["images.zip", "labels.tar.gz"]


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if isinstance(entry, Reader)])
def test_every_reader_has_a_download(name: str) -> None:
    entry = DATASETS[name]
    assert isinstance(entry, Reader)
    assert "://" in entry.download.page
    assert entry.download.files
    assert all(files.least >= 1 for files in entry.download.files)
