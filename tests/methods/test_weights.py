"""Checkpoints in, weights out: every key in its place, nothing executed, one sentence for what is wrong."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ship_weights
import torch
from parity.arrays import key_list, made_up_state
from safetensors import safe_open
from safetensors.torch import save_file

from humesh.body.model import BodyModel
from humesh.methods import METHODS
from humesh.methods import weights as weights_module
from humesh.methods.base import Method
from humesh.methods.weights import (
    WeightsError,
    build,
    convert,
    load_method,
    read_checkpoint,
    read_weights,
    save_weights,
    shipped,
)
from humesh.training.prepare import start_from

DATA = Path(__file__).parents[1] / "data" / "parity"
SMALL_INT = {"encoder": "resnet18", "crop": (96, 96), "width": 48, "heads": 4, "depth": 1, "temporal_depth": 1}


def _state(folder: str, keys: str, empty: bool = False) -> dict[str, torch.Tensor]:
    """An authors' state dict of made-up numbers; `empty`: of zeros that take no room, where names and shapes matter."""
    listed = key_list(DATA / folder, keys, None)
    if empty:
        return {key: torch.zeros(()).expand(entry["shape"]) for key, entry in listed.items()}
    return made_up_state(listed, "test")


@pytest.fixture(scope="module")
def int_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As its authors save it: wrapped, prefixed, with the body's buffers, an optimiser and numpy's numbers."""
    state = _state("int", "state_dict_base.json") | {"smpl.betas": torch.zeros(1, 10)}
    path = tmp_path_factory.mktemp("int") / "int.pth.tar"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "performance": np.float64(42.0), "state_dict": wrapped, "optimizer": {"lr": 1e-4}}, path)
    return path


def test_an_authors_checkpoint_becomes_weights(int_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "int.safetensors"
    header, left = convert(int_checkpoint, "int", out)
    assert header.method == "int"
    assert header.body == "smpl"
    assert [keys for keys in left.values() if "smpl.betas" in keys]
    _, network = load_method(out)
    theirs = _state("int", "state_dict_base.json")
    ours = network.state_dict()
    assert len(ours) == len(theirs)
    assert sorted(v.double().sum().item() for v in ours.values()) == sorted(
        v.double().sum().item() for v in theirs.values()
    )
    assert not [p for p in out.parent.iterdir() if p != out]


def test_the_length_of_the_position_code_comes_from_the_file() -> None:
    state = _state("int", "state_dict_temporal.json", empty=True)
    state["temporal_pos_embedding"] = torch.zeros(1, 64, 768)
    keys = METHODS["int"].network().authors_keys
    assert keys is not None
    config = keys.config(state)
    assert (config.frames, config.temporal) == (64, "per_joint")


def test_jotr_needs_vposer_from_its_owner(tmp_path: Path) -> None:
    torch.save(
        {"network": {f"module.{k}": v for k, v in _state("jotr", "state_dict.json", empty=True).items()}},
        tmp_path / "j.pth",
    )
    with pytest.raises(WeightsError, match="VPoser"):
        convert(tmp_path / "j.pth", "jotr", tmp_path / "j.safetensors")
    assert not (tmp_path / "j.safetensors").exists()
    header, left = convert(tmp_path / "j.pth", "jotr", tmp_path / "j.safetensors", tmp_path / "j.pth")
    assert header.config["pose_decoder"] == "vposer"
    dropped = [key for keys in left.values() for key in keys]
    assert any(key.startswith("human_model_layer.") for key in dropped)
    assert any(key.startswith("vposer.") for key in dropped)
    _, network = load_method(tmp_path / "j.safetensors")
    assert not any("human_model_layer" in key for key in network.state_dict())


def test_multi_roi_as_its_authors_ran_it(tmp_path: Path) -> None:
    torch.save({"model": _state("multi_roi", "state_dict_r50.json", empty=True), "epoch": 1}, tmp_path / "m.pt")
    header, _ = convert(tmp_path / "m.pt", "multi_roi_authors", tmp_path / "m.safetensors")
    assert header.config["encoder"] == "resnet50"
    with pytest.raises(WeightsError, match="no checkpoints of its authors' to convert"):
        convert(tmp_path / "m.pt", "multi_roi", tmp_path / "m.safetensors")


def test_a_checkpoint_of_another_method_is_refused(int_checkpoint: Path, tmp_path: Path) -> None:
    for name in ("jotr", "multi_roi_authors"):
        with pytest.raises(WeightsError, match=r"another method|name its own|second file"):
            convert(int_checkpoint, name, tmp_path / "o.safetensors")
    with pytest.raises(WeightsError, match="method 'jotrr': expected one of jotr"):
        convert(int_checkpoint, "jotrr", tmp_path / "o.safetensors")
    assert not list(tmp_path.iterdir())


def test_missing_and_extra_keys_are_named(tmp_path: Path) -> None:
    state = _state("int", "state_dict_base.json", empty=True)
    for change, message in (
        (lambda s: s.pop("norm.weight"), r"lacks 1 \(norm.weight\)"),
        (lambda s: s.update(surprise=torch.zeros(2)), r"unknown 1 \(surprise\)"),
        (lambda s: s.update({"norm.weight": torch.zeros(3)}), r"other shapes of 1 \(norm.weight\)"),
    ):
        broken = dict(state)
        change(broken)
        torch.save(broken, tmp_path / "b.pt")
        with pytest.raises(WeightsError, match=message):
            convert(tmp_path / "b.pt", "int", tmp_path / "b.safetensors")


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch /tmp/humesh_was_here",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    mark = Path("/tmp/humesh_was_here")
    mark.unlink(missing_ok=True)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "bomb": _Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match="found code"):
        read_checkpoint(tmp_path / "bomb.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(WeightsError, match="checkpoint"):
        read_checkpoint(tmp_path / "plain.pkl")
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_files_are_told(share: float, int_checkpoint: Path, tmp_path: Path) -> None:
    whole = int_checkpoint.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=r"cut.pt"):
        read_checkpoint(tmp_path / "cut.pt")
    save_weights(tmp_path / "w.safetensors", "int", build("int", SMALL_INT, BodyModel.load("open-low")))
    ours = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(ours[: int(share * len(ours))])
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(tmp_path / "w.safetensors")


def test_what_is_no_weights_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="found no such file"):
        load_method(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="found no such file"):
        read_checkpoint(tmp_path / "nothing.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="expected humesh's header"):
        load_method(tmp_path / "foreign.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors", metadata={"humesh": '{"method": "magic"}'})
    with pytest.raises(WeightsError, match="expected humesh's header"):
        load_method(tmp_path / "foreign.safetensors")
    for content in ([1, 2], {}, {"a": 3}, {"a": torch.zeros(1), "b": "words"}):
        torch.save(content, tmp_path / "odd.pt")
        with pytest.raises(WeightsError, match="expected tensors by name"):
            read_checkpoint(tmp_path / "odd.pt")


def test_settings_are_checked_by_name() -> None:
    with pytest.raises(WeightsError, match=r"unknown settings depht; it has .*depth"):
        build("int", {"depht": 3})
    with pytest.raises(WeightsError, match="expected one of jotr"):
        build("magic")


def _with_header(path: Path, words: Any) -> Path:
    """A weights file of one number that says this of itself."""
    save_file({"x": torch.zeros(1)}, path, metadata={"humesh": words if isinstance(words, str) else json.dumps(words)})
    return path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "found none"),
        ("[" * 5000, "nested too deep"),
        ("9" * 5000, "found one with"),
        ([], "found one with no config, method"),
        ({"method": "lifter", "config": []}, r"expected config to be dict\S*, got \[\];"),
        ({"method": [], "config": {}}, r"expected method to be str, got \[\];"),
        ({"method": "lifter", "config": {}, "weights": 1}, "unknown settings weights"),
        ({"method": "lifter", "config": {}, "notes": {"a": 1}}, "expected notes to be"),
        ({"method": "lifter", "config": {}, "rest": ["lifter"]}, "expected rest to be"),
        ({"method": "lifter", "config": {}, "without": ["lifter"]}, "unknown settings without"),
        ({"method": "lifter", "config": {}, "body": "\x1b[31m\nfake line\x07"}, "names that cannot be printed"),
        ({"method": "magic", "config": {}}, "expected one of jotr"),
    ],
)
def test_wrong_headers_are_told(words: Any, sentence: str, tmp_path: Path) -> None:
    path = _with_header(tmp_path / "w.safetensors", words)
    with pytest.raises(WeightsError, match=sentence) as error:
        load_method(path, BodyModel.load("open-low"))
    assert len(str(error.value)) < 500 + len(str(path))
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "config", "sentence"),
    [
        ("lifter", {"width": 40_000}, "expected width to be a whole number from 0 to 8192, got 40000"),
        ("lifter", {"width": -1}, "whole number from 0 to 8192, got -1"),
        ("lifter", {"width": True}, "got True"),
        ("lifter", {"width": "64"}, "got '64'"),
        ("lifter", {"width": 10**4000}, r"got 1000\d* \.\.\."),
        ("lifter", {"dropped": "x"}, "expected dropped to be float"),
        ("lifter", {"landmarks": 1}, "expected landmarks to be bool"),
        ("lifter", {"width": 8192}, r"lacks \d+ \("),
        ("lifter", {"width": 0, "blocks": 1}, r"lacks \d+ \("),
        ("lifter", {"blocks": 8000}, "expected blocks of at most its 1 tensors, got 8000"),
        ("int", {"crop": 3}, "expected crop to be"),
        ("int", {"crop": [32]}, "expected crop to be"),
        ("int", {"crop": [32, "x"]}, "expected crop to be"),
        ("int", {"temporal": "x", "depth": 1, "temporal_depth": 1}, "expected temporal to be"),
        ("lifter_video", {"heads": 0, "depth": 1, "lifter": 16, "lifter_blocks": 1}, "w.safetensors: "),
        ("jotr", {"contrast": [3]}, "expected contrast to be"),
        ("jotr", {"encoder": "hf-hub:somebody/network", "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 1},
         "expected one of timm's resnet networks"),
        ("ik_refine", {"refiner": "x"}, "expected refiner to be"),
        ("ik_refine", {"fallback_m": "x"}, "expected fallback_m to be float"),
    ],
)  # fmt: skip
def test_wrong_configurations_cost_no_memory(
    name: str, config: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def recording(*arguments: Any) -> Method:
        built.append(torch.get_default_device().type)
        return build(*arguments)

    monkeypatch.setattr(weights_module, "build", recording)
    with pytest.raises(WeightsError, match=sentence):
        load_method(
            _with_header(tmp_path / "w.safetensors", {"method": name, "config": config}), BodyModel.load("open-low")
        )
    assert set(built) <= {"meta"}  # drawn up, and refused before it was made


def test_checkpoints_of_odd_tensors_are_refused(tmp_path: Path) -> None:
    for state in ({"pos_embed": torch.tensor(1.0)}, {"pos_embed": torch.zeros(10**12, 0)}, {7: torch.zeros(1)}):
        torch.save(state, tmp_path / "r.pt")
        with pytest.raises(WeightsError, match=r"r\.pt"):
            convert(tmp_path / "r.pt", "int", tmp_path / "r.safetensors")
    assert not (tmp_path / "r.safetensors").exists()


LITE_VIDEO = {"lifter": 16, "width": 16, "heads": 2, "depth": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """humesh's own weights: a small lifter."""
    monkeypatch.setattr(weights_module, "_SHIPPED", tmp_path / "shipped")
    save_weights(tmp_path / "shipped" / "lifter.safetensors", "lifter", build("lifter", {"width": 16}), half=True)
    return tmp_path / "shipped"


def _video_on_lifter() -> Method:
    """A small method for videos that holds the shipped lifter."""
    method = build("lifter_video", LITE_VIDEO, BodyModel.load("open-low"))
    assert start_from(method, shipped()["lifter"]).startswith("started")
    return method


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_the_lifter_holds_is_left_out_and_read_from_there(folder: Path, tmp_path: Path) -> None:
    method, body = _video_on_lifter(), BodyModel.load("open-low")
    whole, shared = tmp_path / "whole.safetensors", tmp_path / "elsewhere" / "copy.safetensors"
    save_weights(whole, "lifter_video", method, half=True)
    save_weights(shared, "lifter_video", method, half=True, rest="lifter")
    lifter = (folder / "lifter.safetensors").stat().st_size
    assert shared.stat().st_size < whole.stat().st_size - 0.8 * lifter
    (header, one), (_, other) = load_method(shared, body), load_method(whole, body)
    assert list(header.rest) == ["lifter"]
    assert _same(one.state_dict(), other.state_dict())
    assert _same(read_weights(shared)[1], read_weights(whole)[1])
    assert start_from(method, shared).endswith(f"{len(method.state_dict())} of {len(method.state_dict())} tensors.")
    with safe_open(whole, framework="pt") as file:  # as humesh before this could read it
        assert "rest" not in file.metadata()["humesh"]


def test_another_lifter_or_none_is_refused(folder: Path, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", "lifter_video", _video_on_lifter(), half=True, rest="lifter")
    other = build("lifter", {"width": 16})
    other.load_state_dict(read_weights(shipped()["lifter"])[1])
    save_weights(folder / "lifter.safetensors", "lifter", other, notes={"another": "card"}, half=True)
    load_method(tmp_path / "w.safetensors")
    next(other.parameters()).data[0] += 1e-2
    save_weights(folder / "lifter.safetensors", "lifter", other, half=True)
    with pytest.raises(WeightsError, match=r"w\.safetensors: expected the rest .* 'lifter', found others there; use"):
        load_method(tmp_path / "w.safetensors")
    (folder / "lifter.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"w\.safetensors: expected the rest .* 'lifter', found no such file; use"):
        read_weights(tmp_path / "w.safetensors")


def test_shipping_another_lifter_leaves_the_others_as_they_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_weights, "FOLDER", folder)
    monkeypatch.setattr(ship_weights, "PAGE", tmp_path / "page.md")

    def ship(name: str, method: Method) -> None:
        save_weights(tmp_path / "run" / "weights.safetensors", name, method, notes={"recipe": "r"})
        monkeypatch.setattr("sys.argv", ["ship_weights.py", str(tmp_path / "run"), "--data", "d", "--scores", "s"])
        ship_weights.main()

    ship("lifter_video", _video_on_lifter())
    header, before = read_weights(shipped()["lifter_video"])
    assert header.rest
    assert header.notes.keys() == {"recipe", "data", "test", "licence"}
    card = (folder / "lifter.safetensors").read_bytes()
    ship("lifter", build("lifter", {"width": 16}))
    assert card != (folder / "lifter.safetensors").read_bytes()
    header, after = read_weights(shipped()["lifter_video"])
    assert not header.rest
    assert _same(before, after)
    ship("lifter_video", _video_on_lifter())
    assert read_weights(shipped()["lifter_video"])[0].rest
    assert "MB, and the lifter\n" in (tmp_path / "page.md").read_text()
