"""`convert`, `predict --weights` and `export-model` as a user meets them."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from PIL import Image
from skimage.data import camera as photo_of_cameraman

from humesh.body.model import BodyModel
from humesh.commands.main import main
from humesh.methods.weights import build, save_weights

TINY = {"encoder": "resnet18", "size": 96, "width": 32, "heads": 4, "hidden": 64, "volume_hidden": 64}


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "man.png"
    Image.fromarray(photo_of_cameraman()).save(path)
    return path


@pytest.mark.parametrize("body", ["open", "smpl"])
def test_weights_run_on_a_photo(
    body: str, monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "jotr.safetensors"
    save_weights(weights, "jotr", build("jotr", TINY, BodyModel.load("open-low")), body)
    assert run(monkeypatch, "predict", photo, "--weights", weights, "--no-refine", "-o", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "man.json").read_text())
    assert record["method"] == "jotr"
    assert len(record["people"]) == 1
    printed = capsys.readouterr().out
    assert ("the weights are of SMPL's body" in printed) == (body == "smpl")
    if body == "smpl":
        assert not any(record["people"][0]["betas"])


def test_given_keypoints_are_what_the_network_sees(
    monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "jotr.safetensors"
    save_weights(weights, "jotr", build("jotr", TINY, BodyModel.load("open-low")))
    keypoints = [coordinate for i in range(17) for coordinate in (100.0 + 9 * i, 120.0 + 17 * i, 0.9)]
    entry = {"image_id": "man", "category_id": 1, "bbox": [80, 100, 200, 320], "score": 0.9, "keypoints": keypoints}
    (tmp_path / "people.json").write_text(json.dumps([entry]))
    words = ("predict", photo, "--weights", weights, "-o", tmp_path / "out", "--detections", tmp_path / "people.json")
    assert run(monkeypatch, *words) == 0
    (person,) = json.loads((tmp_path / "out" / "man.json").read_text())["people"]
    assert person["box_xyxy"] == [80, 100, 280, 420]


def test_wrong_weights_are_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nothing of the kind")
    assert run(monkeypatch, "predict", photo, "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "out") == 2
    assert "expected a whole .safetensors file" in capsys.readouterr().err


def test_convert_says_what_it_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out, left = (
        tmp_path / "int.pth",
        tmp_path / "int.safetensors",
        {"the body model's own arrays": ["smpl.faces"]},
    )
    with monkeypatch.context() as patch:
        patch.setattr("humesh.methods.weights.convert", lambda *_: (None, left))
        assert run(monkeypatch, "convert", file, "--method", "int", "-o", out) == 0
    printed = capsys.readouterr().out
    assert "left out 1 entries (smpl.faces): the body model's own arrays" in printed
    assert f"run it: humesh predict PHOTO --weights {out} --body YOUR_SMPL_FILE" in printed.replace("\n", " ")
    torch.save({"a": torch.zeros(1)}, file)
    for words, sentence in (
        ((file, "--method", "int", "-o", out), "method"),
        ((file, "--method", "magic", "-o", out), "expected one of jotr"),
        ((file, "--method", "int", "-o", tmp_path / "out.pth"), "ends in .safetensors"),
        ((tmp_path / "nothing.pt", "--method", "int", "-o", out), "found no such file"),
    ):
        assert run(monkeypatch, "convert", *words) == 2
        printed = capsys.readouterr().err.strip()
        assert sentence in printed
        assert len(printed.splitlines()) == 1


def test_export_model_writes_what_onnxruntime_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights, out = tmp_path / "lifter.safetensors", tmp_path / "new" / "model.onnx"
    save_weights(weights, "lifter", build("lifter", {"width": 32, "blocks": 1}, BodyModel.load("open-low")))
    assert run(monkeypatch, "export-model", "lifter", "--weights", weights, "-o", out, "--batch", 2) == 0
    outputs = {entry.name: entry.shape for entry in onnxruntime.InferenceSession(out).get_outputs()}
    assert outputs == {"rotations": [2, 1, 24, 3, 3], "shape": [2, 1, 10], "translation": [2, 1, 3]}
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]


def test_export_model_tells_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "jotr.safetensors"
    save_weights(weights, "jotr", build("jotr", TINY, BodyModel.load("open-low")))
    for words, sentence in (
        (("magic", "-o", tmp_path / "m.onnx"), "expected one of jotr"),
        (("jotr", "-o", tmp_path / "m.bin"), "ends in .onnx"),
        (("jotr", "-o", tmp_path / f"{'ä' * 150}.onnx"), "expected a name of at most 255 bytes"),
        (("jotr", "-o", tmp_path / "m.onnx", "--batch", 0), "--batch: expected a number from 1 to 100,000, got 0."),
        (
            ("jotr", "-o", tmp_path / "m.onnx", "--batch", 10**9),
            "--batch: expected a number from 1 to 100,000, got 1,0",
        ),
        (("int", "-o", tmp_path / "m.onnx", "--crops", -1), "--crops: expected a number from 1 to 10,000, got -1."),
        (("lifter", "-o", tmp_path / "m.onnx", "--batch", 90_000), "take at most 1 GB, 90,000 of them would take"),
        (
            ("lifter_video", "-o", tmp_path / "m.onnx", "--crops", 9_000, "--batch", 100),
            "100 of them would take 11.1; give a smaller",
        ),
        (("int", "--weights", weights, "-o", tmp_path / "m.onnx"), "they are of 'jotr'"),
    ):
        assert run(monkeypatch, "export-model", *words) == 2
        assert sentence in capsys.readouterr().err
    monkeypatch.setattr("humesh.methods.deploy.find_spec", lambda _: None)
    assert run(monkeypatch, "export-model", "lifter", "-o", tmp_path / "m.onnx") == 2
    assert 'pip install "humesh[export]"' in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()
