"""`humesh data check` as a user meets it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from humesh.body.joints import JOTR30, LSP14
from humesh.commands.data import contact_sheet
from humesh.commands.main import main
from humesh.data.datasets.matlab_2d import Lsp
from humesh.data.datasets.reader import Files
from humesh.data.drawn import DrawnPeople
from humesh.evaluation.run import Chained


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "data", "check", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LSP with four photos; here it is complete with them."""
    files = (Files("joints.mat", 1, "lsp_dataset"), Files("images/im*.jpg", 4, "lsp_dataset"))
    monkeypatch.setattr(Lsp, "page", "https://example.org/lsp")
    monkeypatch.setattr(Lsp, "parts", files)
    folder = tmp_path / "lsp"
    (folder / "images").mkdir(parents=True)
    drawn, joints = DrawnPeople(4, people=1), np.zeros((3, 14, 4))
    for i in range(4):
        person = drawn[i].people[0]
        points = [person.points2d[JOTR30.index("neck" if n not in JOTR30.names else n)].tolist() for n in LSP14.names]
        joints[:2, :, i] = np.array(points).T + 0.5
        Image.fromarray(drawn[i].photo.pixels).save(folder / f"images/im{i + 1:04d}.jpg")
    savemat(folder / "joints.mat", {"joints": joints})
    return folder


def test_a_whole_download_is_drawn(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = root.parent / "sheet.jpg"
    assert run(monkeypatch, "lsp", "--root", root, "--split", "train", "-o", sheet) == 0
    printed = capsys.readouterr().out
    assert "| images/im*.jpg | 4 | 4 | complete |" in printed
    assert "2 samples; points: lsp14" in printed
    with Image.open(sheet) as image:
        assert image.size == (4 * 320, 4 * 320)
        pixels = np.asarray(image).astype(int)
    drawn = pixels[..., 1] - pixels[..., [0, 2]].max(-1)
    assert (drawn > 100).sum() > 16 * 14  # the green points of visible joints
    assert sorted(path.name for path in root.parent.iterdir()) == ["lsp", "sheet.jpg"]


def test_points_lie_where_the_labels_say() -> None:
    dataset = DrawnPeople(1, people=1)
    sample = dataset[0]
    pixels = np.asarray(contact_sheet(dataset, count=1, columns=1))
    scale = 320 / max(sample.photo.size)
    person = sample.people[0]
    x, y = (person.points2d[person.joint_set.index("left_ankle")] * scale).round().int().tolist()
    assert pixels.shape == (320, 320, 3)
    assert tuple(pixels[y, x]) in ((0, 230, 0), (60, 140, 255))  # its 2D point, and the 3D one on top of it


def test_far_outside_of_a_picture_nothing_is_walked_along(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DrawnPeople(1, people=1)
    sample = dataset[0]

    def sheet(far: float) -> np.ndarray:
        points = sample.people[0].points2d.clone()
        points[::2] = torch.tensor([far, far / 5])
        seen = replace(sample.people[0].seen, box=np.array([-far, 3.0, far, far / 5]))
        person = replace(sample.people[0], points2d=points, seen=seen)
        monkeypatch.setattr(DrawnPeople, "__getitem__", lambda *_: replace(sample, people=(person,)))
        return np.asarray(contact_sheet(dataset, count=1, columns=1))

    assert np.array_equal(sheet(1e5), sheet(1e6))  # both as near as is still drawn
    assert not np.array_equal(sheet(1e5), sheet(300.0))


def test_what_is_missing_is_refused_with_its_place(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "images/im0004.jpg").write_bytes(b"")
    (root / "images.zip").write_bytes(b"PK")
    assert run(monkeypatch, "lsp", "--root", root) == 1
    printed = capsys.readouterr().out
    assert "im0004.jpg is empty" in printed
    assert "missing: lsp_dataset; its owner offers it at https://example.org/lsp" in printed
    assert "unpack first: images.zip" in printed
    (root / "joints.mat").unlink()
    assert run(monkeypatch, "lsp", "--root", root, "--split", "train") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("humesh: ")
    assert "expected joints.mat, found" in captured.err
    monkeypatch.setattr("humesh.data.datasets.matlab_2d.Lsp", _Nothing)
    assert run(monkeypatch, "lsp", "--root", root, "--split", "train") == 2
    assert "expected samples, the reader finds none; fetch what is missing" in capsys.readouterr().err


class _Nothing(Chained):
    """A download without samples."""

    page, parts = "https://example.org", ()

    def __init__(self, root: Path, split: str) -> None:
        super().__init__([])


def test_options_reach_the_reader(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("lsp", "--root", root, "--split", "train", "--option")
    for option, sentence in (
        ("protocol=1", "expected options of root, split, got protocol"),
        ("protocol", "--option protocol: expected key=value, such as protocol=1"),
    ):
        assert run(monkeypatch, *words, option) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr("humesh.data.datasets.matlab_2d.Lsp", _Chosen)
    assert run(monkeypatch, *words, "activity=pizza", "--option", "cameras=[16, 30]") == 0
    assert (_Chosen.activity, _Chosen.cameras) == ("pizza", [16, 30])


class _Chosen(Lsp):
    """LSP with options."""

    def __init__(self, root: Path, split: str, activity: str, cameras: list[int]) -> None:
        super().__init__(root, split)
        _Chosen.activity, _Chosen.cameras = activity, cameras


def test_wrong_words_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in (
        (("drawn", "--root", root), "expected one of "),
        (("lsp", "--root", root / "none"), "expected a folder, found nothing"),
        (("lsp", "--root", root, "-o", "sheet.txt"), "ends in .jpg or .png"),
        (("lsp", "--root", root, "-o", "sheet.jpg"), "expected the split to draw; give it with --split"),
        (("lsp", "--root", root, "--split", "val"), "expected the split train or test or all"),
        (("mpii", "--root", root, "--split", "val"), "MPII: expected the split train, got"),
    ):
        assert run(monkeypatch, *words) == 2
        printed = capsys.readouterr().err.strip()
        assert sentence in printed
        assert len(printed.splitlines()) == 1
