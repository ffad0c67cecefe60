"""What counts as finished, whose a name is, and which files are never touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from humesh.commands.errors import UserError
from humesh.commands.results import PEOPLE, Claim, Job, Results, digest
from humesh.scene.record import json_text

OPTIONS = {"weights": "lifter 1234", "refine": True}
ENDINGS = {"jpg": "_overlay.jpg", "glb": ".glb", "json": ".json"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return made_photo(tmp_path / "a" / "x.png")


def made_photo(path: Path, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), grey).save(path)
    return path


def job(path: Path, options: dict[str, Any] = OPTIONS, endings: dict[str, str] = ENDINGS) -> Job:
    return Job(str(path), path, options, endings)


def write(claim: Claim, people: int = 0) -> list[Path]:
    """Writes a job's files as the commands do."""
    files: dict[str, list[Path]] = {}
    for format, ending in claim.job.endings.items():
        numbers = range(people) if format == "bvh" else [None]
        paths = [Path(f"{claim.target}{'' if n is None else f'_person{n}'}{ending}") for n in numbers]
        files |= {format: paths} if format != "json" else {}
        for path in paths if format != "json" else []:
            path.write_bytes(os.fsencode(f"{format} of {claim.job.path}"))
    return claim.finish({"people": []}, files)


def make(out: Path, wanted: Job, people: int = 0) -> list[str]:
    with Results(out).claimed(wanted) as claim:
        return [path.name for path in write(claim, people)]


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_a_result_is_finished_when_all_its_files_are_there(out: Path, photo: Path) -> None:
    assert Results(out).state(job(photo)) == (False, [])
    assert make(out, job(photo)) == ["x_overlay.jpg", "x.glb", "x.json"]
    assert Results(out).state(job(photo)) == (True, [])
    assert Results(out).state(job(photo, endings={"jpg": "_overlay.jpg"})) == (True, [])
    assert Results(out).state(job(photo, endings={"obj": ".obj"})) == (False, [])
    (out / "x.glb").unlink()
    assert Results(out).state(job(photo)) == (False, [])


def test_nobody_has_no_files_and_is_finished_all_the_same(out: Path, photo: Path) -> None:
    wanted = job(photo, endings={"bvh": ".bvh"})
    make(out, wanted, people=0)
    assert names(out) == ["x.json"]
    assert Results(out).state(wanted) == (True, [])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: os.utime(path, ns=(1, 1)), "the file itself"),
        (lambda path: path.write_bytes(path.read_bytes() + b"0"), "the file itself"),
    ],
)
def test_a_replaced_photo_is_done_again(out: Path, photo: Path, change: Callable[[Path], object], what: str) -> None:
    make(out, job(photo))
    change(photo)
    assert Results(out).state(job(photo)) == (False, [what])
    assert make(out, job(photo)) == ["x_overlay.jpg", "x.glb", "x.json"]
    assert Results(out).state(job(photo)) == (True, [])


def test_other_options_and_another_version_are_done_again(
    out: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(out, job(photo))
    assert Results(out).state(job(photo, options={**OPTIONS, "refine": False})) == (False, ["refine"])
    assert Results(out).state(job(photo, options={**OPTIONS, "stride": 2})) == (False, ["stride"])
    assert Results(out).state(job(photo, options={"refine": True})) == (False, ["weights"])
    older = job(photo)
    object.__setattr__(older, "version", "0.0.1")
    assert Results(out).state(older) == (False, ["humesh's version"])


def test_two_inputs_of_one_name_have_two_results_in_whatever_run_they_come(out: Path, photo: Path) -> None:
    other = made_photo(photo.parents[1] / "b" / "x.png")
    assert make(out, job(photo))[-1] == "x.json"
    assert make(out, job(other))[-1] == "x_2.json"
    third = made_photo(photo.parents[1] / "c" / "x.png")
    assert make(out, job(third))[-1] == "x_3.json"
    for path, name in ((photo, "x"), (other, "x_2"), (third, "x_3")):  # each finds its own again
        assert Results(out).state(job(path)) == (True, [])
        assert make(out, job(path))[-1] == f"{name}.json"
        assert str(path) in (out / f"{name}.glb").read_text()
    many = [made_photo(photo.parents[1] / str(n) / "d" / "x.png") for n in range(6)]
    assert len({make(out, job(path))[-1] for path in many}) == 6
    assert all(Results(out).state(job(path)) == (True, []) for path in many)


def test_files_that_nobodys_record_names_are_never_touched(out: Path, photo: Path) -> None:
    out.mkdir()
    for foreign in ("x.json", "x_2.glb", "x_3_person7.bvh", "x_3.notes"):
        (out / foreign).write_text("mine")
    wanted = job(photo, endings={**ENDINGS, "bvh": ".bvh"})
    assert make(out, wanted, people=2)[-1] == "x_3.json"
    for foreign in ("x.json", "x_2.glb", "x_3_person7.bvh", "x_3.notes"):
        assert (out / foreign).read_text() == "mine"
    assert not (out / "x_overlay.jpg").exists()
    assert Results(out).state(wanted) == (True, [])


def test_what_came_into_the_way_later_is_one_sentence(out: Path, photo: Path) -> None:
    make(out, job(photo))
    for foreign, format in (("x.obj", "obj"), ("x_person3.bvh", "bvh")):
        (out / foreign).write_text("mine")
        wanted = job(photo, endings={format: f".{format}"})
        with pytest.raises(UserError, match=rf"{foreign}: humesh did not make it and will not overwrite it"):
            make(out, wanted, people=4)
        assert (out / foreign).read_text() == "mine"
        assert Results(out).state(job(photo)) == (True, [])


def test_a_link_in_the_way_is_not_followed(out: Path, photo: Path, tmp_path: Path) -> None:
    out.mkdir()
    (out / "x.glb").symlink_to(tmp_path / "elsewhere")
    assert make(out, job(photo))[-1] == "x_2.json"
    assert not (tmp_path / "elsewhere").exists()


def test_people_who_are_no_more_lose_their_files(out: Path, photo: Path) -> None:
    wanted = job(photo, endings={"bvh": ".bvh"})
    make(out, wanted, people=3)
    (out / "x_person2.bvh.bak").write_text("mine")
    (out / "y_person2.bvh").write_text("mine")
    make(out, wanted, people=1)
    assert names(out) == ["x.json", "x_person0.bvh", "x_person2.bvh.bak", "y_person2.bvh"]


def test_files_of_other_formats_stay_and_stay_our_own(out: Path, photo: Path) -> None:
    glb, jpg = {"glb": ".glb"}, {"jpg": "_overlay.jpg"}
    make(out, job(photo, endings=glb))
    make(out, job(photo, endings=jpg))
    assert Results(out).state(job(photo, endings={**glb, **jpg})) == (True, []), "both were made alike"
    changed = {**OPTIONS, "refine": False}
    make(out, job(photo, options=changed, endings=jpg))
    assert (out / "x.glb").exists()
    assert Results(out).owns(out / "x.glb")
    assert Results(out).state(job(photo, options=changed, endings=glb)) == (False, []), "it was made otherwise"
    assert make(out, job(photo, options=changed, endings=glb)) == ["x.glb", "x.json"]


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_run_that_was_killed_while_it_moved_files_knows_them_as_its_own(
    out: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    wanted = job(photo, endings={"glb": ".glb", "bvh": ".bvh"})
    make(out, wanted, people=1)
    replace, done = os.replace, list[str]()

    def killed(source: Path, target: Path) -> None:
        if len(done) == moved and Path(target).suffix != ".json":
            raise KeyboardInterrupt
        done.extend([str(target)] * (Path(target).suffix != ".json"))
        replace(source, target)

    other = job(photo, options={**OPTIONS, "refine": False}, endings=wanted.endings)
    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        make(out, other, people=2)
    monkeypatch.undo()
    for options in (wanted, other):
        assert not Results(out).state(options)[0]
    assert all(Results(out).owns(path) for path in out.iterdir())
    assert not Results(out).owns(out / "x_person1.bvh.bak")
    assert make(out, other, people=1) == ["x.glb", "x_person0.bvh", "x.json"]
    assert names(out) == ["x.glb", "x.json", "x_person0.bvh"]


def half_done(path: Path) -> None:
    path.write_text("half")
    raise FileNotFoundError


def test_a_job_that_fails_leaves_nothing(out: Path, photo: Path) -> None:
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), Results(out).claimed(job(photo)):
            raise error
        assert names(out) == []
    with pytest.raises(FileNotFoundError), Results(out).claimed(job(photo)) as claim:
        half_done(Path(f"{claim.target}.glb"))
    assert names(out) == []


def test_a_job_that_fails_again_leaves_the_old_result(out: Path, photo: Path) -> None:
    make(out, job(photo))
    other = job(photo, options={})
    with pytest.raises(FileNotFoundError), Results(out).claimed(other) as claim:
        half_done(Path(f"{claim.target}.glb"))
    assert names(out) == ["x.glb", "x.json", "x_overlay.jpg"]
    assert Results(out).state(job(photo)) == (True, [])
    assert not Results(out).state(other)[0]


def test_what_a_killed_run_left_in_its_hidden_folder_goes_but_for_the_people(out: Path, photo: Path) -> None:
    left = out / ".humesh-x"
    left.mkdir(parents=True)
    for name in ("x.glb", f"x{PEOPLE}"):
        (left / name).write_text("half")
    with Results(out).claimed(job(photo)) as claim:
        assert claim.work == left
        assert sorted(path.name for path in left.iterdir() if path.suffix != ".lock") == [f"x{PEOPLE}"]
        written = write(claim)
    assert [path.name for path in written] == ["x_overlay.jpg", "x.glb", "x.json"]


def test_two_runs_do_not_make_one_result_at_once(out: Path, photo: Path) -> None:
    for is_there in (False, True):  # the result, of an earlier run
        with Results(out).claimed(job(photo)) as claim:
            with pytest.raises(UserError, match="is predicting in it; wait until it ends"):
                make(out, job(photo))
            write(claim)
        assert Results(out).state(job(photo)) == (True, []), is_there
        assert names(out) == ["x.glb", "x.json", "x_overlay.jpg"]


def test_a_full_disk_leaves_no_empty_record(out: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("humesh.commands.results.write_text", full)
    with pytest.raises(OSError, match="No space") as raised:
        make(out, job(photo))
    assert raised.value.filename == str(out)
    assert names(out) == []


def test_of_two_runs_at_once_only_one_gets_the_name(out: Path, photo: Path) -> None:
    other = made_photo(photo.parents[1] / "b" / "x.png")
    with Results(out).claimed(job(photo)) as first, pytest.raises(UserError, match="give another folder"):
        make(out, job(other))
    assert first.name == "x"
    assert make(out, job(other))[-1] == "x.json"


@pytest.mark.parametrize(
    "record",
    [
        b"", b"{", b"[]", b"null", b'{"made": 1}', b'{"made": {}}', b"[" * 5000, b"\xff", b'{"people": []}',
    ],
)  # fmt: skip
def test_a_foreign_json_is_nobodys_record(out: Path, photo: Path, record: bytes) -> None:
    out.mkdir()
    (out / "x.json").write_bytes(record)
    assert Results(out).made("x") is None
    assert make(out, job(photo))[-1] == "x_2.json"
    assert (out / "x.json").read_bytes() == record


@pytest.mark.parametrize("planted", ["../victim", "/tmp/victim", "victim", "x/../../victim", "x\0", 3, ["x"]])
def test_a_record_that_names_foreign_files_is_not_believed(out: Path, photo: Path, planted: object) -> None:
    """A record comes with a folder that may be somebody else's: it must not make us delete what it likes."""
    victim = out.parent / "victim"
    victim.write_text("mine")
    make(out, job(photo, endings={"bvh": ".bvh"}), people=1)
    (out / "victim").write_text("mine")
    content = json.loads((out / "x.json").read_text())
    for place in ("files", "leftover"):
        forged = json.loads(json.dumps(content))
        forged["made"][place] = {"bvh": [planted]}
        (out / "x.json").write_text(json.dumps(forged))
        assert Results(out).made("x") is None
        make(out, job(photo, endings={"bvh": ".bvh"}), people=0)
        assert victim.exists()
        assert (out / "victim").exists()


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "x" * 100 + "\udcff" * 100])
def test_long_and_odd_names(tmp_path: Path, out: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"photo")
    written = make(out, job(path, endings={**ENDINGS, "bvh": ".bvh"}), people=1)
    assert len(os.fsencode(written[0])) < 255
    assert Results(out).state(job(path, endings=ENDINGS)) == (True, [])
    twin = tmp_path / f"{name[:-1]}{'y' if name[0] != 'é' else 'è'}"
    twin.write_bytes(b"photo")
    assert make(out, job(twin))[-1] != written[-1]


def test_a_copied_record_is_nobodys(out: Path, photo: Path) -> None:
    make(out, job(photo, endings={"bvh": ".bvh"}))
    (out / "xx.json").write_bytes((out / "x.json").read_bytes())
    assert Results(out).made("xx") is None


def test_json_of_records_keeps_texts_as_they_are() -> None:
    texts = ["a  ]b", "[\n", "c , d", 'e"  ]', "{", "\udcff", "\x1b[2J"]
    content = {"files": texts, "numbers": [[1.5, 2], [3, -0.25]], "none": []}
    text = json_text(content)
    assert json.loads(text.encode("utf-8", "backslashreplace")) == content
    assert "[1.5, 2]" in text
    with pytest.raises(ValueError, match="JSON"):
        json_text({"a": float("nan")})


def test_a_digest_changes_with_what_is_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "w", tmp_path / "f"
    assert digest(file) is None
    file.write_bytes(b"1")
    first = digest(file)
    os.utime(file, ns=(1, 1))
    assert digest(file) == first
    file.write_bytes(b"2")
    assert digest(file) != first
    folder.mkdir()
    states = {digest(folder)}
    for name in ("1.json", "2.json"):
        (folder / name).write_bytes(np.random.default_rng(0).bytes(9))
        states.add(digest(folder))
    (folder / "1.json").write_bytes(b"")
    states.add(digest(folder))
    assert len(states) == 4
