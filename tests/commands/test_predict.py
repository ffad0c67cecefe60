"""The command line as a user meets it: results, exit codes and the one sentence that tells what is wrong."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera as photo_of_cameraman

from humesh.commands.main import main
from humesh.commands.predict import _named
from humesh.people import runtime
from humesh.recover import DEFAULT


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "man.png"
    path.parent.mkdir()
    Image.fromarray(photo_of_cameraman()).save(path)
    return path


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """A photo with nobody on it."""
    path = tmp_path / "grey.png"
    Image.new("RGB", (64, 48), "grey").save(path)
    return path


def test_a_photo_gives_its_files(monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    formats = ["jpg", "views", "glb", "obj", "ply", "npz", "json", "bvh"]
    assert run(monkeypatch, "predict", photo, "-o", out, "--formats", *formats) == 0
    assert {p.name for p in out.iterdir()} == {
        "man_overlay.jpg", "man_views.jpg", "man.glb", "man.obj", "man.ply", "man.npz", "man.json", "man.bvh",
    }  # fmt: skip
    record = json.loads((out / "man.json").read_text())
    assert record["image"] == {"path": str(photo), "width": 512, "height": 512}
    assert record["method"] == DEFAULT
    (person,) = record["people"]
    assert np.shape(person["pose_axis_angle"]) == (24, 3)
    assert np.shape(person["joints"]["xyz_m"]) == (24, 3)
    assert len(person["keypoints_coco17"]["names"]) == 17
    with Image.open(out / "man_overlay.jpg") as overlay:
        assert overlay.size == (512, 512)


def test_finished_photos_are_skipped_unless_told(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("predict", grey, "-o", out, "--formats", "json")
    assert run(monkeypatch, *words) == 0
    assert json.loads((out / "grey.json").read_text())["people"] == []
    assert "nobody found" in capsys.readouterr().out
    first = (out / "grey.json").stat().st_mtime_ns
    assert run(monkeypatch, *words) == 0
    assert "1 of 1 photos are finished and skipped" in capsys.readouterr().out
    assert (out / "grey.json").stat().st_mtime_ns == first
    assert run(monkeypatch, *words, "--overwrite") == 0
    assert (out / "grey.json").stat().st_mtime_ns > first
    assert run(monkeypatch, "predict", grey, "-o", out, "--formats", "jpg") == 0  # another format is not there yet
    assert (out / "grey_overlay.jpg").is_file()


def test_of_several_photos_the_bad_ones_are_listed_and_the_rest_is_done(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "mixed", tmp_path / "out"
    folder.mkdir()
    (folder / "text.jpg").write_text("no photo")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    grey.rename(folder / "grey.png")
    assert run(monkeypatch, "predict", folder, tmp_path / "missing.jpg", "-o", out, "--formats", "json") == 1
    told = capsys.readouterr().err
    assert "3 of 4 photos failed" in told
    for name in ("text.jpg", "empty.jpg", "missing.jpg"):
        assert told.count(name) == 2  # when it happens and in the list at the end
    assert [p.name for p in out.iterdir()] == ["grey.json"]


def test_an_error_nobody_thought_of_costs_one_photo_only(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from humesh.recover import Recoverer

    strange = tmp_path / "a_strange.png"
    Image.new("RGB", (32, 32), "white").save(strange)
    done = Recoverer.__call__

    def fails(self: Recoverer, photo: object, people: object = None) -> object:
        if getattr(photo, "size", None) == (32, 32):
            raise RuntimeError("the model broke")
        return done(self, photo, people)  # type: ignore[arg-type]

    monkeypatch.setattr(Recoverer, "__call__", fails)
    assert run(monkeypatch, "predict", strange, grey, "-o", tmp_path / "out", "--formats", "json") == 1
    assert f"photo {strange}: RuntimeError: the model broke" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["grey.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.jpg"], "photo missing.jpg: expected an image file, found nothing"),
        (["*.nothing"], "pattern *.nothing: expected photos, matches none"),
        ([], "expected at least one photo"),
        (["empty_folder"], "folder empty_folder: expected photos (.bmp, .gif"),
        (["grey.png", "--detections", "missing.json"], "detections missing.json: expected a JSON file"),
        (["grey.png", "--detections", "wrong.json"], "entry 0: expected image_id"),
        (["grey.png", "--body", "nowhere.pkl"], "expected open, open-low or an SMPL .pkl or .npz file"),
        (["grey.png", "--body", "evil.pkl"], "refused, it names posix.system"),
        (["grey.png", "--device", "cuda:77"], "device 'cuda:77'"),
        (["grey.png", "--focal-px", "-3"], "--focal-px: expected a positive number of pixels, got -3"),
        (["grey.png", "-o", "grey.png"], "cannot write into grey.png"),
        (["grey.png", "-o", "/proc/humesh"], "cannot write into /proc/humesh"),  # where even root may not
    ],
)
def test_what_the_user_must_mend_is_told_in_one_sentence_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    grey: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "wrong.json").write_text('[{"bbox": [1, 2, 3, 4]}]')
    evil = b"cposix\nsystem\n(S'touch trap'\ntR."
    (tmp_path / "evil.pkl").write_bytes(evil)
    assert run(monkeypatch, "predict", *words) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "trap").exists()
    pickle.loads(evil)
    assert (tmp_path / "trap").exists()  # whoever just loads the file runs it


def test_a_truncated_photo_alone_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(photo_of_cameraman()).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    assert run(monkeypatch, "predict", path, "-o", tmp_path / "out") == 2
    assert "damaged or cut short" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_given_boxes_are_used(monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"man.png": [[100, 60, 290, 500]]}))
    words = ("predict", photo, "-o", tmp_path / "out", "--detections", boxes, "--formats", "json", "--focal-px", "900")
    assert run(monkeypatch, *words) == 0
    record = json.loads((tmp_path / "out" / "man.json").read_text())
    assert record["people"][0]["box_xyxy"] == [100, 60, 290, 500]
    assert record["camera"] == {"focal_px": 900.0, "principal_point_px": [256.0, 256.0], "source": "given"}


def test_an_interrupt_keeps_what_is_finished(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from humesh.recover import Recoverer

    second = tmp_path / "second.png"
    Image.new("RGB", (32, 32), "white").save(second)
    done = Recoverer.__call__

    def stopped(self: Recoverer, photo: object, people: object = None) -> object:
        if getattr(photo, "size", None) == (32, 32):
            raise KeyboardInterrupt
        return done(self, photo, people)  # type: ignore[arg-type]

    monkeypatch.setattr(Recoverer, "__call__", stopped)
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", grey, second, "-o", out, "--formats", "json") == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["grey.json"]


def test_no_result_takes_the_place_of_a_photo(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "grey.jpg"
    Image.open(grey).save(photo)
    grey.unlink()
    before = photo.read_bytes()
    assert run(monkeypatch, "predict", photo, "-o", tmp_path, "--formats", "jpg") == 0
    assert photo.read_bytes() == before
    assert (tmp_path / "grey_overlay.jpg").is_file()
    assert run(monkeypatch, "predict", tmp_path, "-o", tmp_path) == 2
    assert "results would lie among the photos" in capsys.readouterr().err
    clash = tmp_path / "grey_overlay.jpg"  # somebody's photo that is called like another one's overlay
    assert run(monkeypatch, "predict", photo, clash, "-o", tmp_path, "--formats", "jpg", "--overwrite") == 2
    assert "grey_overlay.jpg would be overwritten" in capsys.readouterr().err


def test_results_of_photos_with_one_stem_do_not_overwrite_each_other() -> None:
    photos = [Path("a/x.jpg"), Path("a/x.png"), Path("b/x.png"), Path("a/y.jpg")]
    named = _named(photos)
    assert list(named.values()) == photos
    assert "y" in named
    assert len(named) == 4


def test_info_names_what_may_be_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "info") == 0
    told = capsys.readouterr().out
    for word in ("humesh 0.", "torch", "onnxruntime", "movenet_thunder", "open", "CC0", "ik_refine", "Apache-2.0"):
        assert word in told


def test_what_the_build_could_not_fetch_is_said(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `info` of each network, by `predict` in one sentence."""
    monkeypatch.setattr(runtime, "ASSETS", tmp_path / "none")
    runtime.network.cache_clear()
    assert run(monkeypatch, "info") == 0
    told = capsys.readouterr().out
    for name in runtime.NETWORKS:
        assert f"{name:20} missing: install humesh again with a connection" in told
    for finder in ("accurate", "fast"):
        assert run(monkeypatch, "predict", grey, "-o", tmp_path / "out", "--finder", finder) == 2
        (sentence,) = capsys.readouterr().err.splitlines()
        assert "building humesh fetches it from the npm registry. Install humesh again with a connection" in sentence


def test_the_demo_says_where_its_pictures_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "demo", "-o", tmp_path / "demo") == 0
    told = capsys.readouterr().out
    assert "1 person found" in told
    for ending in ("_overlay.jpg", "_views.jpg", ".glb", ".json"):
        assert str(tmp_path / "demo" / f"camera{ending}") in told


@pytest.mark.parametrize(
    "words", [[], ["predcit"], ["predict", "--formats", "gif"], ["predict", "a.jpg", "--method", "magic"]]
)
def test_misspelt_commands_end_with_2(
    monkeypatch: pytest.MonkeyPatch, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert capsys.readouterr().err
