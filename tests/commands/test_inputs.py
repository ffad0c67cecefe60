"""What files, folders, patterns and addresses mean as inputs, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.commands.errors import UserError
from humesh.commands.inputs import Input, gathered
from humesh.commands.results import Job, Results
from humesh.media.film import Film


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos (one without a photo's name), a video, a damaged photo and things that are neither."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("b.jpg", "photo"):
        Image.new("RGB", (32, 24), "grey").save(folder / name, format="JPEG")
    with Film(folder / "clip.mp4", (32, 24), 25.0) as film:
        film.write(np.zeros((24, 32, 3), np.uint8), 0.0)
    (folder / "damaged.png").write_bytes(b"")
    for name in ("notes.txt", "more.TXT", "boxes.json", "Makefile"):
        (folder / name).write_text("text")
    for hidden in ("._b.jpg", ".DS_Store"):  # macOS puts them beside every file
        (folder / hidden).write_bytes(b"\0\5\x16\7")
    (folder / "sub.jpg").mkdir()
    return folder


def kinds(inputs: list[Input]) -> dict[str, str]:
    return {Path(each.where).name: each.kind for each in inputs}


def test_a_folder_is_sorted_by_content_and_says_what_it_passes_over(folder: Path, tmp_path: Path) -> None:
    wanted = {"b.jpg": "photo", "clip.mp4": "video", "damaged.png": "photo", "photo": "photo"}
    sentence = "neither photo nor video, passed over (4): Makefile, boxes.json, more.TXT, ...."
    for named in (folder, folder / "*", folder / "[!.]*"):
        found, (note, *more) = gathered([str(named)], tmp_path / "out", folders=False, overwrite=False)
        assert kinds(found) == wanted
        assert note.startswith(str(named))
        assert sentence in note
        assert more == ([f"{folder}: folders in it are not looked into: sub.jpg."] if named == folder else [])


def test_the_folder_of_results_and_hidden_ones_are_not_said_to_be_left(tmp_path: Path) -> None:
    Image.new("RGB", (32, 24)).save(tmp_path / "a.png")
    for name in ("out", ".git", "a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        _, notes = gathered([str(tmp_path)], tmp_path / "out", folders=False, overwrite=False)
        assert (notes == []) == (name in ("out", ".git"))
    assert notes == [f"{tmp_path}: folders in it are not looked into: a, b, c, ...."]


def test_a_folder_of_photos_says_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (32, 24)).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    found, notes = gathered([str(tmp_path)], tmp_path / "out", folders=False, overwrite=False)
    assert kinds(found) == {"a.png": "photo"}
    assert notes == []


def test_what_is_named_twice_is_done_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    named = ["b.jpg", "./b.jpg", str(folder / "b.jpg"), str(folder / "b*")]
    found, _ = gathered(named, tmp_path / "out", folders=False, overwrite=False)
    assert [each.where for each in found] == ["b.jpg"]


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("empty", r"folder .*empty: expected photos \(.bmp, .gif, .* or videos, found none"),
        ("texts", r"folder .*texts: expected photos .* found none"),
        ("empty/*", r"pattern .*: expected photos, matches none"),
        ("texts/*", r"pattern .*: expected photos or videos, matches 1 files that are neither"),
    ],
)
def test_nothing_to_look_at_is_one_sentence(tmp_path: Path, named: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")
    with pytest.raises(UserError, match=sentence):
        gathered([str(tmp_path / named)], tmp_path / "out", folders=False, overwrite=False)


def test_results_among_the_inputs_are_passed_over(folder: Path, tmp_path: Path) -> None:
    photo = folder / "b.jpg"
    job, overlay = Job(str(photo), photo, {}, {"jpg": "_overlay.jpg"}), folder / "b_overlay.jpg"
    with Results(folder).claimed(job) as claim:
        Image.new("RGB", (32, 24)).save(f"{claim.target}_overlay.jpg")
        claim.finish({}, {"jpg": [Path(f"{claim.target}_overlay.jpg")]})
    foreign = folder / "c_overlay.jpg"
    Image.new("RGB", (32, 24)).save(foreign)
    named = [str(path) for path in (photo, overlay, foreign)]
    found, notes = gathered(named, folder, folders=False, overwrite=False)
    assert list(kinds(found)) == ["b.jpg", "c_overlay.jpg"]
    assert notes == ["1 of the inputs is a result of humesh; passed over."]
    for pattern in (folder, folder / "*.jpg"):  # also where the results go elsewhere
        found, notes = gathered([str(pattern)], tmp_path / "out", folders=False, overwrite=True)
        assert "b_overlay.jpg" not in kinds(found)
        assert notes[-1] == "1 of the inputs is a result of humesh; passed over."
        assert "b.json" not in " ".join(notes)  # nor are they listed as something else
    for named, out, overwrite in (([str(overlay)], tmp_path / "out", False), ([str(overlay)], folder, True)):
        found, notes = gathered(named, out, folders=False, overwrite=overwrite)  # who names a result means it
        assert list(kinds(found)) == ["b_overlay.jpg"]
    with pytest.raises(UserError, match="got only results of humesh"):
        gathered([str(overlay)], folder, folders=False, overwrite=False)


@pytest.mark.parametrize(
    ("named", "kind", "name", "public"),
    [
        ("rtsp://me:secret@10.0.0.5:554/live/1?x=y", "live", "1", "rtsp://10.0.0.5:554/live/1"),
        ("rtsp://me:my@secret@10.0.0.5/live", "live", "live", "rtsp://10.0.0.5/live"),
        (
            "https://example.org/a/clip%20one.mp4?token=secret",
            "video",
            "clip_20one.mp4",
            "https://example.org/a/clip%20one.mp4",
        ),
        ("http://example.org/", "video", "example.org", None),
        ("https://example.org/photo.JPG", "photo", "photo.JPG", None),
        ("udp://@239.0.0.1:1234", "live", "239.0.0.1", "udp://239.0.0.1:1234"),
        ("0", "live", "0", None),
        ("missing.mp4", "video", "missing.mp4", None),
        ("missing", "photo", "missing", None),
    ],
)
def test_addresses_and_webcams_are_taken_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, kind: str, name: str, public: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    [found], notes = gathered([named], tmp_path / "out", folders=False, overwrite=False)
    assert (found.where, found.kind, found.name.name, found.public) == (named, kind, name, public or named)
    assert notes == []
    assert "secret" not in found.identity
    assert found.identity.startswith(found.public if kind == "video" and public else "")


def test_addresses_that_differ_in_their_queries_are_two() -> None:
    first, again, other = (Input(f"https://me:pw@a.org/watch?v={v}", "video").identity for v in ("one", "one", "two"))
    assert first == again != other
    assert first.startswith("https://a.org/watch?")
    assert "one" not in first


@pytest.mark.parametrize(
    "address", ["ftp://a/b.mp4", "file:///x.mp4", "FTP://a/*.mp4", "ftp://me:secret@a/b.mp4?token=secret"]
)
def test_an_address_that_is_not_read_is_answered_with_those_that_are(tmp_path: Path, address: str) -> None:
    sentence = r"://.*: expected an address that begins with https://, http:// or rtsp://, or a file's path\.$"
    with pytest.raises(UserError, match=sentence) as raised:
        gathered([address], tmp_path / "out", folders=False, overwrite=False)
    assert str(raised.value).startswith(address.replace("me:secret@", "").removesuffix("?token=secret") + ": ")


def test_a_file_that_is_called_like_a_webcam_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "0", format="PNG")
    [found], _ = gathered(["0"], tmp_path / "out", folders=False, overwrite=False)
    assert found.kind == "photo"


def test_a_file_whose_name_is_a_pattern_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a[1].png"
    Image.new("RGB", (8, 8)).save(path)
    [found], _ = gathered([str(path)], tmp_path / "out", folders=False, overwrite=False)
    assert found.where == str(path)


def test_folders_of_frames_are_videos_where_that_is_said(folder: Path, tmp_path: Path) -> None:
    [found], notes = gathered([str(folder)], tmp_path / "out", folders=True, overwrite=False)
    assert (found.kind, notes) == ("video", [])
