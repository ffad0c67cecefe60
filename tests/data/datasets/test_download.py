"""Every reader of somebody's data declares what its download holds, and the splits that it has."""

from pathlib import Path

import pytest

from humesh.data import DATASETS, Reader
from humesh.data.datasets.reader import DatasetError, Files

READERS = [name for name, entry in DATASETS.items() if isinstance(entry, Reader)]


def test_files_are_found_by_several_patterns(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.png", "a/.4.jpg", "labels.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(path.name for path in Files("a/*.jpg|b/*.png").found(tmp_path)) == ["1.jpg", "2.jpg", "3.png"]
    assert not list(Files("c/*").found(tmp_path))


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_a_download(name: str) -> None:
    entry = DATASETS[name]
    assert isinstance(entry, Reader)
    assert "://" in entry.kind.page
    assert entry.kind.parts
    assert all(files.least >= 1 for files in entry.kind.parts)


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_other_splits_and_options(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected the split .*, got 'everything'"):
        DATASETS[name](root=tmp_path, split="everything")
    with pytest.raises(DatasetError, match=r"expected options of root, split.*, got colour"):
        DATASETS[name](root=tmp_path, split="train", colour=1)
