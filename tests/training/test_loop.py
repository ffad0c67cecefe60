"""The loop: exact after a kill, the same in two processes, what goes wrong is reported."""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import shutil
import signal
import socket
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import _utils

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.batch import Groups
from humesh.data.drawn import DrawnPeople
from humesh.errors import HumeshError
from humesh.files import locked
from humesh.methods.weights import load_method
from humesh.training.data import Given
from humesh.training.files import Table, checkpoints
from humesh.training.loop import Place, Training
from humesh.training.prepare import prepare, start_from
from humesh.training.recipe import Recipe, Source, TrainingError
from humesh.training.recipes import RECIPES

SMALL = replace(
    RECIPES["debug"],
    steps=9,
    batch=4,
    data=(Source("drawn", options={"count": 24}),),
    config={**RECIPES["debug"].config, "decoder_layers": 1, "encoder_layers": 0, "width": 16, "hidden": 16},
    held_out=4,
    log_every=1,
    save_every=2,
    validate_every=9,
)


def trained(folder: Path, recipe: Recipe = SMALL, name: str = "debug", **options: Any) -> Training:
    training = prepare(name, recipe, Place(folder, **options))
    training.run()
    return training


def losses(folder: Path) -> dict[int, str]:
    with open(folder / "log.csv", newline="") as file:
        return {int(row["step"]): row["loss"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    forkserver.ensure_running()  # it imports while this trains
    folder = tmp_path_factory.mktemp("run")
    trained(folder)
    return folder


# How the processes of a test are started; the recipe is this file's. A server imports once what all of them need.
PROGRAM = """
import os, sys, torch
os.environ.update({environment!r})
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from pathlib import Path
import test_loop
test_loop.{call}
"""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["humesh.training.prepare", "humesh.training.recipes", "pytest"])


def started(call: str, **environment: str) -> multiprocessing.process.BaseProcess:
    program = textwrap.dedent(PROGRAM).format(tests=str(Path(__file__).parent), call=call, environment=environment)
    process = PROCESSES.Process(target=exec, args=(program, {}))
    process.start()
    return process


def test_killed_and_resumed_is_the_same_as_not_killed(uninterrupted: Path, tmp_path: Path) -> None:
    when = int.from_bytes(os.urandom(1)) % 7 + 1  # any step must do
    process = started(f"trained(Path({str(tmp_path)!r}))")
    while process.is_alive() and not ((tmp_path / "log.csv").exists() and len(losses(tmp_path)) >= when):
        time.sleep(0.005)
    process.kill()
    process.join()
    sentences: list[str] = []
    again = trained(tmp_path, say=sentences.append)
    # The checkpoint of step 2 is written after its row of the log.
    assert when < 3 or any("going on from step" in sentence for sentence in sentences)
    assert losses(tmp_path) == losses(uninterrupted)
    assert len(losses(tmp_path)) == SMALL.steps
    assert (tmp_path / "validation.csv").read_text() == (uninterrupted / "validation.csv").read_text()
    one, other = (load_method(f / "weights.safetensors", again.learner.bodies[0])[1] for f in (tmp_path, uninterrupted))
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_damaged_checkpoint_is_passed_over(uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-0000008.pt", "checkpoint-0000009.pt"]
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:5000])
    (tmp_path / "checkpoint-0000009.part").write_bytes(b"half")  # a write that the kill cut short
    sentences: list[str] = []
    trained(tmp_path, say=sentences.append)
    assert any("damaged" in sentence for sentence in sentences)
    assert any("going on from step 8" in sentence for sentence in sentences)
    assert losses(tmp_path) == losses(uninterrupted)


def _flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def _without(*keys: str) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        torch.save({key: value for key, value in state.items() if key not in keys}, path)

    return harm


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x02}q\x00."),  # an old pickle
        lambda path: _flipped(path, path.stat().st_size // 2),  # one number is another
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"recipe": "debug"}, path),
        lambda path: torch.save({"recipe": "debug", "settings": "{"}, path),
        _without("optimiser"),
        _without("mean"),
    ],
)
def test_a_checkpoint_is_passed_over_whatever_is_wrong_with_it(
    uninterrupted: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    older, newest = (Path(shutil.copy(path, tmp_path)) for path in checkpoints(uninterrupted))
    harm(newest)
    sentences: list[str] = []
    training = prepare("debug", SMALL, Place(tmp_path, say=sentences.append))
    training.resume()
    assert sentences == [f"{newest} is damaged and left out.", f"going on from step 8 of 9 ({older})."]
    harm(older)
    with pytest.raises(TrainingError, match="all 2 are damaged; give another folder"):
        training.resume()


def test_two_trainings_do_not_share_a_folder(uninterrupted: Path) -> None:
    training = prepare("debug", SMALL, Place(uninterrupted))
    with (
        locked(uninterrupted, "training", HumeshError),
        pytest.raises(TrainingError, match=f"process {os.getpid()} is training in it"),
    ):
        training.run()


def test_a_finished_run_has_everything(uninterrupted: Path) -> None:
    header, _ = load_method(uninterrupted / "weights.safetensors", BodyModel.load("open-low"))
    assert header.notes["recipe"] == "debug"
    assert header.notes["steps"] == "9"
    assert "PA-MPJPE" in header.notes["scores"]
    assert len(list((uninterrupted / "pictures").glob("*.jpg"))) == 1
    assert not list(uninterrupted.glob("*.part"))
    assert len(checkpoints(uninterrupted)) == 2
    with open(uninterrupted / "validation.csv") as file:
        (row,) = csv.DictReader(file)
    assert 0 < float(row["PA-MPJPE"]) < float(row["MPJPE"]) < 2000


def test_another_training_is_not_gone_on_with(uninterrupted: Path) -> None:
    with pytest.raises(TrainingError, match="holds a training of the recipe 'debug', not of 'other'; give another"):
        trained(uninterrupted, name="other")
    with pytest.raises(TrainingError, match=r"with other settings \(batch, rate\)"):
        trained(uninterrupted, replace(SMALL, batch=2, rate=1.0))
    before, weights = losses(uninterrupted), (uninterrupted / "weights.safetensors").read_bytes()
    (uninterrupted / ".humesh-checkpoint-0000007.0123456789ab.pt").write_bytes(b"half")  # a killed run's
    trained(uninterrupted)  # there is nothing left to do
    assert losses(uninterrupted) == before
    assert (uninterrupted / "weights.safetensors").read_bytes() == weights  # with its scores
    assert not list(uninterrupted.glob(".humesh*"))


def _without_norms() -> Recipe:
    """Without batch norms and dropout nothing depends on who shares a process."""
    weights, config = {"points3d": 1.0, "points2d": 1.0, "rotations": 1.0, "shape": 0.1}, {"width": 16, "blocks": 1}
    return replace(
        SMALL, method="lifter", config={**config, "landmarks": False}, weights=weights, learned=(), delayed={}, steps=4
    )


def one_of_two(folder: Path) -> None:
    """What each process of the next test does."""
    torch.distributed.init_process_group("gloo")
    trained(folder, _without_norms(), "lifter")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one_with_the_double_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    call = f"one_of_two(Path({str(tmp_path / 'two')!r}))"
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    processes = [started(call, RANK=str(rank), **shared) for rank in range(2)]
    trained(tmp_path / "one", _without_norms(), "lifter")
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() == {1, 2, 3, 4}
    assert [float(two[step]) for step in one] == pytest.approx([float(loss) for loss in one.values()], rel=1e-5)
    assert float(one[4]) != float(one[1])


def test_steps_without_finite_gradients_are_skipped_and_three_end_it(tmp_path: Path) -> None:
    sentences: list[str] = []
    training = prepare("debug", SMALL, Place(tmp_path, say=sentences.append))
    batch = next(training.batches(0))
    bad = replace(batch, targets=replace(batch.targets, points3d=batch.targets.points3d * math.nan))
    training.one_step(batch)
    before = {key: value.clone() for key, value in training.learner.named_parameters()}
    mean = {key: value.clone() for key, value in training.mean.items()}
    training.one_step(bad)
    assert "step 2 is skipped: not finite in body_joint_cam, body_joint_img" in sentences[-1]
    assert all(torch.equal(before[key], value) for key, value in training.learner.named_parameters())
    assert all(torch.equal(mean[key], value) for key, value in training.mean.items())
    training.one_step(batch)  # a good one between: counting starts anew
    training.one_step(bad)
    training.one_step(bad)
    with pytest.raises(TrainingError, match=r"3 steps in a row without finite gradients .*lower the learning rate"):
        training.one_step(bad)


class Dying(DrawnPeople):
    """Photos whose reading ends the process, as when memory is short."""

    def __getitem__(self, index: int) -> Any:
        os._exit(9)


class Broken(DrawnPeople):
    """Photos that cannot be read."""

    def __getitem__(self, index: int) -> Any:
        raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(Broken, r"^data 'bad', sample \d+ \(number \d\): OSError: the disk is gone$"), (Dying, "a data worker died")],
)
def test_failing_workers_are_reported(
    kind: Callable[..., DrawnPeople], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch looks after its workers every five seconds.
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    training = prepare("debug", SMALL, Place(tmp_path, workers=1))
    spec, body = training.groups.spec, training.groups.body
    training.groups = Groups(spec, [kind(8)], body, names=["bad"])
    with pytest.raises(TrainingError, match=sentence):
        training.run()


def test_workers_change_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    trained(tmp_path, replace(SMALL, steps=3, schedule="constant"), workers=1)
    trained(tmp_path / "none", replace(SMALL, steps=3, schedule="constant"))
    assert losses(tmp_path) == losses(tmp_path / "none")


def test_ctrl_c_ends_after_the_step_and_keeps_it(tmp_path: Path) -> None:
    def watch(step: int, means: Any) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    training = trained(tmp_path, watch=watch)
    assert training.step == 3
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-0000002.pt", "checkpoint-0000003.pt"]
    assert (tmp_path / "weights.safetensors").exists()


def test_the_mean_is_that_of_all_steps(tmp_path: Path) -> None:
    training = prepare("debug", SMALL, Place(tmp_path))
    key = "decoder.0.linear1.weight"
    expected = training.mean[key].clone()
    for index, batch in enumerate(islice(training.batches(0), 3)):
        training.one_step(batch)
        share = min(SMALL.ema, (2 + index) / (11 + index))
        expected = share * expected + (1 - share) * training.learner.method.state_dict()[key]
    assert torch.allclose(training.mean[key], expected, atol=1e-7)
    live = training.learner.method.state_dict()[key].clone()
    with training.averaged() as method:
        assert torch.equal(method.state_dict()[key], training.mean[key])
    assert torch.equal(training.learner.method.state_dict()[key], live)


def test_discriminators_learn(tmp_path: Path) -> None:
    recipe = small_form("ik_refine")
    training = prepare("ik", recipe, Place(tmp_path))
    assert training.discriminators is not None
    before = [parameter.clone() for parameter in training.discriminators.parameters()]
    batch = next(training.batches(0))
    first = training.one_step(batch)
    for _ in range(5):
        last = training.one_step(batch)
    assert not any(map(torch.equal, before, training.discriminators.parameters()))
    assert last["discriminators"] < first["discriminators"]
    training.save()
    other = prepare("ik", recipe, Place(tmp_path))
    other.resume()
    a, b = (t.one_step(batch)["adversarial"] for t in (training, other))
    assert torch.equal(a, b)


def small_form(name: str) -> Recipe:
    """A recipe on synthetic people at a size for tests."""
    sizes: dict[str, Any] = {"encoder": "test_resnet", "size": 64, "twist_width": 16, "width": 16, "hidden": 16}
    recipe = replace(RECIPES[f"synthetic-{name}"], precision="float32", batch=3, held_out=3, warm_up=0)
    return replace(recipe, config={**recipe.config, **sizes}, data=(Source("drawn", options={"count": 24}),))


def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    means = []
    for precision in ("float32", "bfloat16"):
        training = prepare("debug", replace(SMALL, precision=precision, batch=8), Place(tmp_path))
        means.append(training.one_step(next(training.batches(0))))
    for name in ("body_joint_cam", "body_joint_proj", "smpl_pose", "body_joint_img"):
        assert means[1][name].dtype == torch.float32
        assert means[1][name].item() == pytest.approx(means[0][name].item(), rel=0.05)
        assert means[1][name] != means[0][name]


def test_weights_to_start_from(uninterrupted: Path, tmp_path: Path) -> None:
    wider = replace(SMALL, config={**SMALL.config, "contrast": (), "decoder_sees": "flat2d"})
    wider = replace(wider, weights={"body_joint_cam": 1.0}, delayed={})
    training = prepare("debug", wider, Place(tmp_path), Given(init=uninterrupted / "weights.safetensors"))
    _, given = load_method(uninterrupted / "weights.safetensors", BodyModel.load("open-low"))
    own = training.learner.method.state_dict()
    assert torch.equal(own["encoder.layer1.0.conv1.weight"], given.state_dict()["encoder.layer1.0.conv1.weight"])
    other = prepare("lifter", _without_norms(), Place(tmp_path)).learner.method
    with pytest.raises(TrainingError, match=r"none of its .* tensors fits"):
        start_from(other, uninterrupted / "weights.safetensors")


def test_tables_forget_what_came_after_a_step(tmp_path: Path) -> None:
    table = Table(tmp_path / "log.csv", 0)
    for step in (1, 2, 3):
        table.write(step, {"loss": step / 2})
    Table(tmp_path / "log.csv", 2).write(3, {"loss": 9.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "1,0.5", "2,1", "3,9"]


def test_tables_take_columns_that_come_later(tmp_path: Path) -> None:
    table = Table(tmp_path / "log.csv", 0)
    table.write(1, {"loss": 0.5})
    table.write(2, {"loss": 0.25, "discriminators": 3.0})
    table.write(3, {"discriminators": 4.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss,discriminators", "1,0.5,", "2,0.25,3", "3,,4"]
    Table(tmp_path / "log.csv", 4).write(5, {"loss": 1.0, "discriminators": 1.0})
    assert (tmp_path / "log.csv").read_text().splitlines()[-2:] == ["3,,4", "5,1,1"]


@pytest.mark.parametrize("other", [b"name;value\r\na;1\r\n", b"\x89PNG\xff\xfe", b'step,"loss\n', b'step,loss\n"a"b\n'])
def test_a_table_of_something_else_is_named(tmp_path: Path, other: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(other)
    with pytest.raises(TrainingError, match=r"log\.csv: expected the table of a training"):
        Table(tmp_path / "log.csv", 2)
    assert (tmp_path / "log.csv").read_bytes() == other
    (tmp_path / "log.csv").write_bytes(b"")
    Table(tmp_path / "log.csv", 2).write(3, {"loss": 1.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "3,1"]


def test_rates_follow_their_schedules() -> None:
    recipe = replace(SMALL, steps=100, rate=2.0, schedule="step", drops=(0.5, 0.9), warm_up=4)
    assert [recipe.rate_at(step) for step in (0, 1, 3, 49, 50, 89, 90)] == pytest.approx(
        [0.5, 1.0, 2.0, 2.0, 0.2, 0.2, 0.02]
    )
    cosine = replace(recipe, schedule="cosine", warm_up=0)
    assert [cosine.rate_at(step) for step in (0, 50, 100)] == pytest.approx([2.0, 1.01, 0.02])


def test_batches_must_be_shared_evenly_and_half_precision_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="float16 needs a GPU"):
        prepare("debug", replace(SMALL, precision="float16"), Place(tmp_path))


def test_discriminators_get_fits_as_real_and_refined_people_as_made(tmp_path: Path) -> None:
    training = prepare("ik", small_form("ik_refine"), Place(tmp_path))
    batch = next(training.batches(0))
    assert training.discriminators is not None
    targets, group = batch.targets, batch.crops.present.shape
    _, means, pose = training.learner(batch, 0, training.discriminators)
    assert means["adversarial"] > 0
    alone = replace(targets, body_weight=torch.zeros(group))
    assert training.learner(replace(batch, targets=alone), 0, training.discriminators)[1]["adversarial"] == 0
    first = torch.zeros(group)
    first[0, 0] = 1
    real = targets.pose
    others = BodyPose(real.rotations.flip(0, 1), real.shape + 3, real.translation)
    kept = first[..., None, None, None] > 0
    mixed = BodyPose(torch.where(kept, real.rotations, others.rotations),
                     torch.where(kept[..., 0, 0], real.shape, others.shape), real.translation)  # fmt: skip
    weights = targets.pose_weight * first[..., None]
    for name, weight in (("pose_weight", weights), ("shape_weight", targets.shape_weight * first)):
        one, other = (replace(targets, pose=p, **{name: weight}) for p in (real, mixed))
        scores = [training.discriminators.loss(pose, replace(batch, targets=t)) for t in (one, other)]
        assert torch.isclose(*scores), name
