"""The command line before a verb is chosen."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera as photo_of_cameraman

from humesh.commands.errors import explained, say, say_error, shown
from humesh.commands.main import VERBS, main, verb, with_verb
from humesh.errors import HumeshError
from humesh.media.film import Film


@pytest.mark.parametrize("name", VERBS)
def test_help_says_of_each_verb_what_its_function_says(name: str) -> None:
    first = (inspect.getdoc(verb(name)) or "").split("\n\n")[0]
    assert VERBS[name] == " ".join(first.split())


@pytest.mark.parametrize(
    "code",
    [
        "import humesh, humesh.commands.main",
        *(
            f"import sys; sys.argv = ['humesh', *{words}]\n"
            "try:\n    from humesh.commands.main import main; main()\nexcept SystemExit: pass"
            for words in (["--help"], ["predict", "--help"], ["train", "--help"])
        ),
    ],
)
def test_torch_is_imported_only_when_it_is_needed(code: str) -> None:
    heavy = f"{code}\nimport sys; sys.stderr.write(' '.join({{'torch', 'onnxruntime', 'av'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_public_names_are_there_whatever_was_imported_before() -> None:
    code = "import humesh.recover_video, humesh; print(humesh.recover.__module__, humesh.recover_video.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["humesh.recover", "recover_video"]


ODD = {
    "cp1252": "日本 🎈 Zoë.png",
    "ascii": "Zoë.png",
    "utf-8": "x\udcff.png",  # a name on Linux that is not UTF-8
}


@pytest.mark.parametrize("encoding", ODD)
def test_a_console_that_cannot_print_a_name_costs_nothing(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Success stays success, the record is whole, progress bars and failures are shown as well."""
    photo, other = tmp_path / ODD[encoding], tmp_path / f"b {ODD[encoding]}"
    for path in (photo, other):
        Image.new("RGB", (32, 24), "grey").save(path, format="PNG")
    (tmp_path / f"c {ODD[encoding]}").write_bytes(b"no photo")
    console = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(console, encoding, write_through=True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    photos = map(str, sorted(tmp_path.glob("*.png")))
    monkeypatch.setattr(
        sys, "argv", ["humesh", "predict", *photos, "-o", str(tmp_path / "out"), "--formats", "npz", "jpg"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    printed = console.getvalue().decode(encoding)
    assert "Traceback" not in printed
    assert "1 of 3 photos failed" in printed
    assert ended.value.code == 1
    for path in (photo, other):
        assert shown(f"{path}: nobody found", encoding) in printed
        record = (tmp_path / "out" / f"{path.stem}.json").read_bytes()
        assert json.loads(record)["image"]["path"] == str(path)
        with np.load(tmp_path / "out" / f"{path.stem}.npz") as arrays:
            assert str(arrays["image/path"]) == str(path)


def test_what_steers_a_terminal_is_escaped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    say("a\x1b[2J\nb")
    say_error("c\x07")
    printed = capsys.readouterr()
    assert printed.out == "a\\x1b[2J\nb\n"
    assert printed.err == "humesh: c\\x07\n"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii", errors="strict"))
    say("é")
    monkeypatch.setattr(sys, "stdout", None)
    say("there is no console")


@pytest.mark.parametrize("option", ["", "-v", "--verbose", "--debug"])
def test_a_bug_is_named_and_its_traceback_shown_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    def broken() -> int:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("humesh.commands.main.verb", lambda name: broken)
    monkeypatch.setattr(sys, "argv", ["humesh", "info", *filter(None, [option])])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "humesh: this is a bug in humesh (ZeroDivisionError: by nothing);" in printed
    assert ("in broken" in printed) == bool(option)
    assert ("run it again with --debug" in printed) != bool(option)
    assert "issue tracker" in printed
    assert option or len(printed.splitlines()) == 1


@pytest.mark.parametrize("option", ["", "--debug"])
def test_debug_shows_the_traceback_of_an_error_of_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["humesh", *filter(None, [option]), "convert", "a.pt", "--method", "int", "-o", "b"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.endswith("humesh: -o b: expected a name that ends in .safetensors.\n")
    assert ("Traceback" in printed) == bool(option)


def test_an_error_of_the_system_is_named_with_its_file() -> None:
    denied = PermissionError(13, "Permission denied", "a.jpg")
    assert explained(denied) == "a.jpg: Permission denied; check the path, or give another."
    assert explained(OSError("odd")).startswith("this is a bug in humesh (OSError: odd); run it again with --debug")


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["a.jpg"], ["predict", "a.jpg"]),
        (["shots/", "b.mp4", "-o", "out"], ["predict", "shots/", "b.mp4", "-o", "out"]),
        (["*"], ["predict", "*"]),
        (["0"], ["predict", "0"]),
        (["https://example.org/clip"], ["predict", "https://example.org/clip"]),
        (["here"], ["predict", "here"]),
        (["--formats", "glb", "--", "a.jpg"], ["predict", "--formats", "glb", "--", "a.jpg"]),
        (["info"], ["info"]),
        (["predict", "a.jpg"], ["predict", "a.jpg"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_inputs_alone_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], called: list[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert with_verb(words) == called


def test_a_misspelt_verb_gets_the_nearest() -> None:
    with pytest.raises(HumeshError, match=r"^predcit: expected a verb, or a .*; did you mean `humesh predict`\?$"):
        with_verb(["predcit"])
    with pytest.raises(HumeshError, match=r"^nothing: expected a verb, .*; the verbs are predict, app, .*, view\.$"):
        with_verb(["nothing"])


def test_help_has_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["humesh", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "humesh photo.jpg" in printed
    assert "humesh train debug -o run" in printed


READ_ONLY = """
import os, sys, tempfile
out = os.path.realpath(sys.argv[1])
def writes(event, words):
    paths = []
    if event == "open":
        path, mode, flags = words
        changes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
        paths = [path] if changes and isinstance(path, (str, bytes)) else []
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.chmod"):
        paths = words[:1]
    elif event in ("os.rename", "os.link", "os.symlink"):
        paths = words[:2]
    for path in paths:
        if isinstance(path, int):  # a descriptor, whose file was looked at when it was opened
            continue
        path = os.path.realpath(os.fsdecode(path))
        if path != out and not path.startswith(out + os.sep) and not path.startswith("/dev/"):
            raise OSError(30, "Read-only file system", path)
sys.dont_write_bytecode = True
sys.addaudithook(writes)
sys.argv = ["humesh", *sys.argv[2:]]
from humesh.commands.main import main
main()
"""


def test_nothing_is_written_but_results(tmp_path: Path) -> None:
    """As in a container whose only writable place is the folder of results: no home, no /tmp."""
    out, photo, clip = tmp_path / "out", tmp_path / "in" / "man.png", tmp_path / "in" / "clip.mp4"
    photo.parent.mkdir()
    Image.fromarray(photo_of_cameraman()).save(photo)
    with Film(clip, (64, 48), 25.0) as film:
        film.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    formats = ["jpg", "views", "glb", "obj", "ply", "npz", "json", "bvh"]
    words = [sys.executable, "-c", READ_ONLY, out, "predict", photo, clip, "-o", out, "--formats", *formats]
    environment = {"PATH": os.environ["PATH"], "HOME": "/proc/nowhere", "TMPDIR": "/proc/nowhere"}
    out.mkdir()
    done = subprocess.run([*words, "--video.formats", "mp4", "glb", "npz", "bvh"], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    assert len(list(out.glob("man*"))) == len(formats)
    done = subprocess.run([*words[:5], photo, "-o", tmp_path / "other"], env=environment, capture_output=True)
    assert done.returncode == 2
    assert b"cannot write into" in done.stderr  # the file system is read-only, as far as this process can see
