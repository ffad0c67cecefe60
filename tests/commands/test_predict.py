"""The command line as a user meets it: results, exit codes and the one sentence that tells what is wrong."""

import errno
import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera as photo_of_cameraman

from humesh.commands.main import main
from humesh.commands.prediction import _check_out
from humesh.commands.results import Job, Results
from humesh.media.film import Film
from humesh.people import networks
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


def test_finished_photos_are_skipped_unless_asked(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("predict", grey, "-o", out, "--formats", "json")
    assert run(monkeypatch, *words) == 0
    assert json.loads((out / "grey.json").read_text())["people"] == []
    assert "nobody found" in capsys.readouterr().out
    first = (out / "grey.json").stat().st_mtime_ns
    assert run(monkeypatch, *words) == 0
    assert "1 of 1 photo is finished and skipped (--overwrite does it again)." in capsys.readouterr().out
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
    printed = capsys.readouterr().err
    assert "3 of 4 photos failed" in printed
    for name in ("text.jpg", "empty.jpg", "missing.jpg"):
        assert printed.count(name) == 2  # when it happens and in the list at the end
    assert [p.name for p in out.iterdir()] == ["grey.json"]


def test_an_error_nobody_thought_of_costs_one_photo_only(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from humesh.recover import Recoverer

    strange = tmp_path / "a_strange.png"
    Image.new("RGB", (32, 32), "white").save(strange)
    done = Recoverer.__call__

    def fails(self: Recoverer, photo: object, *more: object) -> object:
        if getattr(photo, "size", None) == (32, 32):
            raise RuntimeError("the model broke")
        return done(self, photo, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Recoverer, "__call__", fails)
    assert run(monkeypatch, "predict", strange, grey, "-o", tmp_path / "out", "--formats", "json") == 1
    assert (
        f"photo {strange}: this is a bug in humesh (RuntimeError: the model broke); run it again with --debug"
        in capsys.readouterr().err
    )
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["grey.json"]


def test_a_full_disk_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("humesh.commands.results.write_text", full)
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", grey, "-o", out) == 2
    sentence = f"{out}: cannot be written (No space left on device); make room."
    assert capsys.readouterr().err == f"humesh: photo {grey}: {sentence}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.jpg"], "photo missing.jpg: expected an image file, found nothing"),
        (["*.nothing"], "pattern *.nothing: expected photos, matches none"),
        ([], "expected at least one photo"),
        (["empty_folder"], "folder empty_folder: expected photos (.bmp, .gif"),
        (["grey.png", "--detections", "missing.json"], "missing.json: expected detections as a JSON file"),
        (["grey.png", "--detections", "wrong.json"], "entry 0: expected image_id"),
        (["grey.png", "--body", "nowhere.pkl"], "expected open, open-low or an SMPL .pkl or .npz file"),
        (["grey.png", "--body", "evil.pkl"], "refused, it names posix.system"),
        (["grey.png", "--device", "cuda:77"], "device 'cuda:77'"),
        (["grey.png", "--focal-px", "-3"], "--focal-px: expected a number from 1 to 10,000,000, got -3"),
        (["grey.png", "-o", "grey.png"], "cannot write into grey.png"),
        (["grey.png", "-o", "/proc/humesh"], "cannot write into /proc/humesh"),  # where even root may not
    ],
)
def test_what_the_user_must_mend_is_one_sentence_with_exit_code_2(
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
    printed = capsys.readouterr().err.strip()
    assert sentence in printed
    assert len(printed.splitlines()) == 1
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


@pytest.mark.parametrize("focal_px", [1, 10_000_000])
def test_the_least_and_greatest_focal_length_give_their_files(
    monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path, focal_px: int
) -> None:
    words = ("predict", photo, "-o", tmp_path / "out", "--formats", "jpg", "views", "glb", "--focal-px", focal_px)
    assert run(monkeypatch, *words) == 0
    assert len(_json(tmp_path / "out" / "man.json")["people"]) == 1


def test_given_boxes_are_used(monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"man.png": [[100, 60, 290, 500]]}))
    words = ("predict", photo, "-o", tmp_path / "out", "--detections", boxes, "--formats", "json", "--focal-px", "900")
    assert run(monkeypatch, *words) == 0
    record = json.loads((tmp_path / "out" / "man.json").read_text())
    assert record["people"][0]["box_xyxy"] == [100, 60, 290, 500]
    assert record["camera"] == {"focal_px": 900.0, "principal_point_px": [256.0, 256.0], "source": "given"}
    assert not any("focal length" in note for note in record["notes"])  # nothing of it was guessed


def test_an_interrupt_keeps_what_is_finished(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from humesh.recover import Recoverer

    second = tmp_path / "second.png"
    Image.new("RGB", (32, 32), "white").save(second)
    done = Recoverer.__call__

    def stopped(self: Recoverer, photo: object, *more: object) -> object:
        if getattr(photo, "size", None) == (32, 32):
            raise KeyboardInterrupt
        return done(self, photo, *more)  # type: ignore[arg-type]

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
    assert run(monkeypatch, "predict", tmp_path, "-o", tmp_path, "--formats", "jpg") == 0
    printed = capsys.readouterr().out
    assert "1 of the inputs is a result of humesh; passed over." in printed
    assert "1 of 1 photo is finished and skipped" in printed
    mine = tmp_path / "other_overlay.jpg"  # somebody's photo that is called like another one's overlay
    photo.rename(mine)
    Image.new("RGB", (32, 24)).save(tmp_path / "other.jpg")
    assert run(monkeypatch, "predict", tmp_path / "other.jpg", mine, "-o", tmp_path, "--formats", "jpg") == 0
    assert mine.read_bytes() == before
    assert (tmp_path / "other_2_overlay.jpg").is_file()


def test_the_same_command_again_passes_over_its_own_results(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`predict *.jpg -o .`, which the shell makes more of the second time."""
    monkeypatch.chdir(tmp_path)
    Image.open(grey).save("grey.jpg")
    grey.unlink()
    for again in (False, True):
        names = sorted(map(str, Path().glob("*.jpg")))
        assert names == ["grey.jpg", "grey_overlay.jpg"][: 1 + again]
        assert run(monkeypatch, "predict", *names, "-o", ".", "--formats", "jpg") == 0
        printed = capsys.readouterr()
        assert ("1 of the inputs is a result of humesh; passed over." in printed.out) == again
        assert ("1 of 1 photo is finished" in printed.out) == again
    assert sorted(map(str, Path().iterdir())) == ["grey.jpg", "grey.json", "grey_overlay.jpg"]


def test_runs_that_begin_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each looks whether it can write: 179 of 12,000 starts failed on the one name that all used."""
    out = tmp_path / "out"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [_check_out(out) for _ in range(40)], range(8)))
    assert list(out.iterdir()) == []


def test_two_folders_with_one_name_and_one_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sizes = tmp_path / "out", {"a": (64, 48), "b": (48, 64)}
    for folder, size in sizes.items():
        (tmp_path / folder).mkdir()
        Image.new("RGB", size, "grey").save(tmp_path / folder / "IMG_0001.jpg")
        assert run(monkeypatch, "predict", tmp_path / folder, "-o", out, "--formats", "json") == 0
    found = {record["image"]["path"]: record["image"]["width"] for record in map(_json, out.iterdir())}
    assert found == {str(tmp_path / folder / "IMG_0001.jpg"): width for folder, (width, _) in sizes.items()}
    capsys.readouterr()
    assert run(monkeypatch, "predict", tmp_path / "a", tmp_path / "b", "-o", out, "--formats", "json") == 0
    assert "2 of 2 photos are finished" in capsys.readouterr().out
    assert len(list(out.iterdir())) == 2


def test_what_changed_is_done_again_and_said(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, boxes = ["predict", grey, "-o", tmp_path / "out", "--formats", "json"], tmp_path / "boxes.json"
    assert run(monkeypatch, *words) == 0
    for more, what in (
        (["--focal-px", "900"], "focal_px"),
        (["--focal-px", "900", "--no-refine"], "refine"),
        (["--detections", boxes], "finder, refine, focal_px, detections"),
        (["--detections", boxes], "detections"),
        (["--weights", "lifter_video", "--detections", boxes], "weights, detections"),
    ):
        boxes.write_text(json.dumps({"grey.png": [], "about": [[0, 0, 1 + len(boxes.name) + len(what), 9]]}))
        capsys.readouterr()
        for again in (False, True):
            assert run(monkeypatch, *words, *more) == 0
            printed = capsys.readouterr().out
            assert (f"1 of 1 photo is done again; changed since: {what}." in printed) != again
            assert ("finished and skipped" in printed) == again
    Image.new("RGB", (32, 32), "grey").save(grey)
    assert run(monkeypatch, *words, *more) == 0
    assert "changed since: the file itself." in capsys.readouterr().out
    assert _json(tmp_path / "out" / "grey.json")["image"]["width"] == 32


def test_a_photo_and_a_video_of_one_name_keep_all_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Live Photo, in two runs into one folder."""
    out = tmp_path / "out"
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "IMG_7.png")
    with Film(tmp_path / "IMG_7.mov", (64, 48), 25.0) as film:
        for frame in range(3):
            film.write(np.full((48, 64, 3), 90, np.uint8), frame / 25)
    assert run(monkeypatch, "predict", tmp_path / "IMG_7.png", "-o", out, "--formats", "glb", "bvh") == 0
    (out / "IMG_7_person0.bvh").write_text("somebody else's")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    words = ("predict", tmp_path / "IMG_7.mov", "-o", out, "--video.formats", "glb", "bvh")
    assert run(monkeypatch, *words) == 0
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"IMG_7_2.glb", "IMG_7_2.json", "IMG_7_2.people.npz"}


def _json(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["clip.mp4", "--formats", "bvh"], "--formats is for photos, and none is among the inputs"),
        (["clip.mp4", "--detections", "b.json"], "--detections is for photos, and none is among the inputs"),
        (["grey.png", "--video.stride", "2"], "--video.stride is for videos in files, and none is among the inputs"),
        (["grey.png", "--video.formats", "bvh"], "--video.formats is for videos in files"),
        (["grey.png", "--video.no-beside"], "--video.beside is for videos in files"),
        (["0", "--video.end-s", "3"], "--video.end-s is for videos in files"),
        (["grey.png", "--detections", "b.json", "--finder", "fast"], "--finder fast: nobody is looked for"),
        (["clip.mp4", "clap.mp4", "--video.tracks", "t.txt"], "one file holds the people of one video, got 2"),
        (["clip.mp4", "--video.formats", "npz", "--video.no-beside"], "--video.no-beside is for the film"),
        (["clip.mp4", "--video.folders"], "--video.folders: expected a folder of frames"),
        (["clip.mp4", "--video.interval", "2", "--weights", "lifter"], "is for methods through time"),
        (["clip.mp4", "--video.smooth-s", "nan"], "--video.smooth-s: expected a number from 0 to 10,000,000, got nan"),
        (["clip.mp4", "--video.bridge-s", "-1"], "--video.bridge-s: expected a number from 0 to 10,000,000, got -1"),
        (["clip.mp4", "--video.interval", "0"], "--video.interval: expected a number from 1 to 10,000,000, got 0"),
        (["clip.mp4", "--video.start-s", "inf"], "--video.start-s: expected a number from 0 to 10,000,000, got inf"),
        (["clip.mp4", "--video.end-s", "1e400"], "--video.end-s: expected a number from 0 to 10,000,000, got inf"),
        (["clip.mp4", "--video.end-s", "0"], "--video.end-s: expected a time after the start, 0 s, got 0."),
        (["clip.mp4", "--video.stride", "0"], "--video.stride: expected a number from 1 to 10,000,000, got 0"),
        (["clip.mp4", "--video.formats"], "--video.formats: expected at least one of mp4, glb"),
        (["grey.png", "--formats"], "--formats: expected at least one of jpg, views"),
        (["grey.png", "--focal-px", "nan"], "--focal-px: expected a number from 1 to 10,000,000, got nan"),
        (["grey.png", "--focal-px", "1e30"], "--focal-px: expected a number from 1 to 10,000,000, got 1e+30"),
        (["grey.png", "--device", "tpu"], "humesh: device: expected auto, cpu, cuda[:N] or mps, got 'tpu'."),
        (["https://a/b.jpg?token=secret"], "photo https://a/b.jpg: expected a file, photos are not read from the web"),
        (["https://example.org/photo.jpg"], "https://example.org/photo.jpg: "),
        (["https://127.0.0.1:9/clip.mp4"], "https://127.0.0.1:9/clip.mp4: "),
        (["rtsp://me:secret@127.0.0.1:9/live"], "rtsp://"),
    ],
)
def test_options_and_addresses_that_come_to_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    grey: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "t.txt").write_text("")
    for name in ("clip.mp4", "clap.mp4"):
        with Film(tmp_path / name, (64, 48), 25.0) as film:
            film.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    assert run(monkeypatch, "predict", *words, "-o", "out") == 2
    printed = capsys.readouterr().err.strip()
    assert sentence in printed
    assert len(printed.splitlines()) == 1
    assert "secret" not in printed
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_missing_extra_is_named_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    monkeypatch.setattr("humesh.media.video.Video.__init__", None)  # nothing is looked at
    assert run(monkeypatch, "predict", tmp_path / "clip.mp4", "-o", tmp_path / "out", "--video.formats", "usd") == 2
    assert "--video.formats usd needs a package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_option_for_a_part_of_the_inputs_is_said(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (grey, tmp_path / "none.mp4", "-o", tmp_path / "out", "--formats", "json")
    assert run(monkeypatch, "predict", *words) == 1
    assert "--formats is for the photos; on the videos it has no effect." in capsys.readouterr().out


def test_results_of_photos_with_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    results, photos = Results(tmp_path), [Path("a/x.jpg"), Path("a/x.png"), Path("b/x.png"), Path("a/y.jpg")]
    assert [results.name(Job(str(path), path, {}, {})) for path in photos] == ["x", "x_2", "x_3", "y"]


def test_info_names_what_may_be_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "info") == 0
    printed = capsys.readouterr().out
    for word in ("humesh 0.", "torch", "onnxruntime", "movenet_thunder", "open", "CC0", "ik_refine", "Apache-2.0"):
        assert word in printed


def test_what_the_build_could_not_fetch_is_said(
    monkeypatch: pytest.MonkeyPatch, grey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `info` of each network, by `predict` in one sentence."""
    monkeypatch.setattr(networks, "ASSETS", tmp_path / "none")
    networks.network.cache_clear()
    assert run(monkeypatch, "info") == 0
    printed = capsys.readouterr().out
    for name in networks.NETWORKS:
        assert f"{name:20} missing: install humesh again with a connection" in printed
    for finder in ("accurate", "fast"):
        assert run(monkeypatch, "predict", grey, "-o", tmp_path / "out", "--finder", finder) == 2
        (sentence,) = capsys.readouterr().err.splitlines()
        assert "building humesh fetches it from the npm registry. Install humesh again with a connection" in sentence


def test_the_demo_replaces_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mine in (b"no picture", None):
        if mine is None:
            Image.new("L", (512, 512)).save(tmp_path / "camera.png")
        else:
            (tmp_path / "camera.png").write_bytes(mine)
        before = (tmp_path / "camera.png").read_bytes()
        assert run(monkeypatch, "demo", "-o", tmp_path) == 2
        assert "give another folder with -o" in capsys.readouterr().err
        assert (tmp_path / "camera.png").read_bytes() == before


def test_the_demo_says_where_its_pictures_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "demo", "-o", tmp_path / "demo") == 0
    printed = capsys.readouterr().out
    assert "1 person found" in printed
    for ending in ("_overlay.jpg", "_views.jpg", ".glb", ".json"):
        assert str(tmp_path / "demo" / f"camera{ending}") in printed


@pytest.mark.parametrize(
    "words", [[], ["predcit"], ["predict", "--formats", "gif"], ["predict", "a.jpg", "--method", "magic"]]
)
def test_misspelt_commands_end_with_2(
    monkeypatch: pytest.MonkeyPatch, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert capsys.readouterr().err
