"""The one loop that trains every method: steps, checkpoints that survive a kill, logs, validation, pictures."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from humesh.body.files import SHIPPED
from humesh.body.model import BodyModel
from humesh.data.batch import Batch, Groups
from humesh.files import locked, write_text
from humesh.methods.base import Method
from humesh.methods.weights import save_weights
from humesh.training.data import loaded
from humesh.training.files import Table, check_same, checkpoints, read_checkpoint, write_checkpoint
from humesh.training.learner import PRECISIONS, Discriminators, Learner, in_half_precision, optimiser_of
from humesh.training.recipe import Recipe, TrainingError
from humesh.training.validation import held_out_errors, real_errors

_BAD_STEPS = 3  # steps in a row without finite gradients after which training stops


@dataclass(frozen=True)
class Place:
    """Where and how a training runs; nothing of it decides the result but the rounding of the device.

    `say` gets sentences for the user, `watch` the step and its losses after each step. `real`: a folder of labelled
    photos that each validation is also on.
    """

    out: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 0
    say: Callable[[str], None] = field(default_factory=lambda: lambda sentence: None)
    watch: Callable[[int, Mapping[str, float]], None] = field(default_factory=lambda: lambda step, means: None)
    real: Path | None = None

    @property
    def rank(self) -> int:
        """This process's number, 0 for the only one."""
        return distributed.get_rank() if distributed.is_initialized() else 0

    @property
    def world(self) -> int:
        """How many processes train together."""
        return distributed.get_world_size() if distributed.is_initialized() else 1


class Training:
    """The state of one training: network, optimisers, running mean, step."""

    def __init__(
        self, name: str, recipe: Recipe, method: Method, body: BodyModel, groups: Groups, check: Groups, place: Place
    ) -> None:
        self.name, self.recipe, self.groups, self.check, self.place = name, recipe, groups, check, place
        if recipe.batch % place.world:
            raise TrainingError(f"batch {recipe.batch}: expected a multiple of the {place.world} processes.")
        if recipe.precision == "float16" and place.device.type != "cuda":
            raise TrainingError("precision float16 needs a GPU; use bfloat16 or float32.")
        for module in method.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        self.learner = Learner(method, body.to(place.device), recipe).to(place.device)
        if place.device.type == "cuda" and place.world > 1:
            self.learner = nn.SyncBatchNorm.convert_sync_batchnorm(self.learner)
        if recipe.precision != "float32":
            in_half_precision(self.learner.method, PRECISIONS[recipe.precision], place.device)
        self.optimiser = optimiser_of(self.learner, recipe)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=recipe.precision == "float16")
        self._saved: dict[str, Any] = {"learner": self.learner, "optimiser": self.optimiser, "scaler": self.scaler}
        self.discriminators: Discriminators | None = None
        if recipe.discriminators:
            self.discriminators = Discriminators(body.shapes, place.device)
            optimiser = self.discriminators.optimiser
            self._saved |= {"discriminators": self.discriminators, "their_optimiser": optimiser}
        self.mean = {key: value.detach().clone() for key, value in self.learner.method.state_dict().items()}
        self.step, self.bad, self.stopped = 0, 0, False
        self.sums: dict[str, Tensor] = {}
        self.scores: dict[str, float] = {}  # of the last validation
        self.parallel: nn.Module = self.learner
        if place.world > 1:
            self.parallel = DistributedDataParallel(self.learner, find_unused_parameters=True)

    def run(self) -> dict[str, float]:
        """Trains from where the folder's checkpoints are to the end; returns the last validation's errors.

        TrainingError where another training holds the folder, or where it holds another training.
        """
        first = self.place.rank == 0  # the others work in its folder
        with locked(self.place.out, "training", TrainingError) if first else nullcontext():
            self.resume()
            with self._stoppable():
                self._run(first)
            if first:
                self.save_weights()
        return self.scores

    def _run(self, first: bool) -> None:
        place, recipe = self.place, self.recipe
        if first:
            for draft in place.out.glob(".humesh-checkpoint-*.pt"):  # which a killed run has begun to write
                draft.unlink()
            settings = {"recipe": self.name, **json.loads(recipe.as_json())}
            write_text(place.out / "recipe.json", json.dumps(settings, indent=1))
            log = Table(place.out / "log.csv", self.step)
        began = time.perf_counter()
        for batch in self.batches(self.step):
            means = self.one_step(batch.to(place.device))
            for key, mean in means.items():
                self.sums[key] = self.sums.get(key, torch.zeros_like(mean)) + mean
            self.sums["steps"] = self.sums.get("steps", torch.zeros(())) + 1
            place.watch(self.step, {k: v.item() for k, v in means.items()} if self.step % 10 == 0 else {})
            is_last = self.step == recipe.steps
            if self.step % recipe.log_every == 0 or is_last:
                row = self._means()
                row |= {"rate": recipe.rate_at(self.step - 1), "seconds": time.perf_counter() - began}
                if first:
                    log.write(self.step, row)
            if first and (self.step % recipe.validate_every == 0 or is_last):
                self._validate()
            is_stopped = not self._everyone(torch.tensor(not self.stopped))
            if first and (self.step % recipe.save_every == 0 or is_last or is_stopped):
                self.save()
            if is_stopped:
                return

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the training after its step, the second one at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True
            self.place.say("stopping after this step (again: at once) ...")

        try:
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def one_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step on a batch; its losses' means."""
        # All that is random in a step follows from its number, so nothing need be remembered.
        torch.manual_seed(((self.recipe.seed << 40) + (self.step << 8) + self.place.rank) % 2**64)
        self.learner.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step) * group["factor"]
        loss, means, pose = self.parallel(batch, self.step, self.discriminators)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.recipe.clip)
        self.step += 1
        if not self._everyone(torch.isfinite(norm) & torch.isfinite(loss)):  # |x - NaN| has the gradient 0
            self._skip(means)
        else:
            self.bad = 0
            self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.bad == 0:
            self._update_mean()
            if self.discriminators is not None:
                means["discriminators"] = self.discriminators.step(pose, batch)
        return {"loss": loss.detach(), "gradient": norm.detach(), **means}

    def _skip(self, means: Mapping[str, Tensor]) -> None:
        self.bad += 1
        wrong = ", ".join(name for name, mean in means.items() if not torch.isfinite(mean)) or "the gradients"
        self.place.say(f"step {self.step} is skipped: not finite in {wrong}.")
        # With float16's loss scale such steps are usual at first.
        if self.bad >= _BAD_STEPS and not self.scaler.is_enabled():
            raise TrainingError(
                f"step {self.step}: {self.bad} steps in a row without finite gradients ({wrong}); lower the "
                "learning rate (--rate), use --precision float32, or look at the data; the last checkpoint is kept."
            )

    @torch.no_grad()
    def _update_mean(self) -> None:
        share = 1 - min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # short at first, TensorFlow's rule
        state = self.learner.method.state_dict()
        keys = [key for key, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.mean[key] for key in keys], [state[key] for key in keys], share)
        for key in state.keys() - set(keys):
            self.mean[key].copy_(state[key])

    def batches(self, start: int) -> Iterator[Batch]:
        """The batches of the steps from `start` on; each process gets its own part of every batch."""
        place, size = self.place, self.recipe.batch // self.place.world
        first = ((step * place.world + place.rank) * size for step in range(start, self.recipe.steps))
        return loaded(self.groups, ([*range(n, n + size)] for n in first), place.workers, place.device)

    @contextmanager
    def averaged(self) -> Iterator[Method]:
        """The method with the running mean as its weights, in evaluation mode."""
        method = self.learner.method
        live = {key: value.clone() for key, value in method.state_dict().items()}
        method.load_state_dict(self.mean)
        method.eval()
        try:
            yield method
        finally:
            method.load_state_dict(live)
            method.train()

    def _validate(self) -> None:
        """Errors and pictures of the running mean on what was held out, and errors on real photos."""
        place, size, count = self.place, self.recipe.batch // self.place.world, self.recipe.held_out
        numbers = ([*range(n, min(n + size, count))] for n in range(0, count, size))
        with self.averaged() as method:
            batches = (b.to(place.device) for b in loaded(self.check, numbers, place.workers, place.device))
            sheet = place.out / "pictures" / f"step-{self.step:07d}.jpg"
            self.scores = held_out_errors(method, self.learner.bodies[0], batches, self.recipe.seed, sheet)
        found = dict(self.scores)
        if place.real is not None:
            self.save_weights()
            weights = place.out / "weights.safetensors"
            found |= real_errors(place.real, weights, self.recipe.body, str(place.device), place.say)
        Table(place.out / "validation.csv", self.step - 1).write(self.step, found)
        named = (f"{name} {error:.1f} {'%' if 'PCK' in name else 'mm'}" for name, error in found.items())
        place.say(f"step {self.step}: {', '.join(named)}")

    def save(self) -> None:
        """Writes a checkpoint; it appears only when it is complete, and the last two are kept."""
        state = {name: part.state_dict() for name, part in self._saved.items()}
        state |= {"recipe": self.name, "settings": self.recipe.as_json(), "step": self.step, "mean": self.mean}
        state |= {"bad": self.bad, "sums": self.sums, "scores": self.scores}
        write_checkpoint(self.place.out, self.step, state)

    def resume(self) -> None:
        """Goes on from the folder's newest undamaged checkpoint; TrainingError where all are damaged."""
        found = checkpoints(self.place.out)
        for path in reversed(found):
            try:
                state = read_checkpoint(path)
                check_same(self.name, self.recipe, state, self.place.out)
                for name, part in self._saved.items():
                    part.load_state_dict(state[name])
                for key, value in self.mean.items():
                    value.copy_(state["mean"][key])
                self.sums = {key: value.to(self.place.device) for key, value in state["sums"].items()}
                self.step, self.bad, self.scores = int(state["step"]), int(state["bad"]), dict(state["scores"])
            except TrainingError:
                raise
            except Exception:  # of damaged bytes: zipfile, pickle and torch have no common base
                self.place.say(f"{path} is damaged and left out.")
                continue
            self.place.say(f"going on from step {self.step} of {self.recipe.steps} ({path}).")
            return
        if found:
            raise TrainingError(
                f"{self.place.out}: expected an undamaged checkpoint to go on from, all {len(found)} are damaged; give "
                "another folder with -o, or remove them to start anew."
            )

    def save_weights(self) -> None:
        """Writes the running mean as the method's weights."""
        scores = ", ".join(f"{key} {value:.1f} mm on held-out samples" for key, value in self.scores.items())
        notes = {"recipe": self.name, "settings": self.recipe.as_json(), "steps": str(self.step), "scores": scores}
        if (learned := self.learner.learned) is not None:
            notes["learned"] = json.dumps(dict(zip(learned.names, learned.scales.tolist(), strict=True)))
        body = "open" if self.learner.bodies[0].name in SHIPPED else "smpl"
        with self.averaged() as method:
            save_weights(self.place.out / "weights.safetensors", self.recipe.method, method, body, notes)

    def _means(self) -> dict[str, float]:
        """The means of the losses since they were last asked for, over all processes."""
        count = self.sums.pop("steps").item()
        keys = sorted(self.sums)
        values = torch.stack([self.sums[key].float() for key in keys]) / count
        if self.place.world > 1:
            distributed.all_reduce(values)
            values /= self.place.world
        self.sums = {}
        return dict(zip(keys, values.tolist(), strict=True))

    def _everyone(self, so: Tensor) -> bool:
        """Whether it is so in every process."""
        if self.place.world > 1:
            so = so.to(self.place.device, torch.float32)
            distributed.all_reduce(so, distributed.ReduceOp.MIN)
        return bool(so)
