"""The one loop that trains every method: steps, checkpoints that survive a kill, logs, validation, pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from humesh.body.files import SHIPPED
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.batch import Batch, Groups
from humesh.files import locked, write_text
from humesh.methods.base import Method
from humesh.methods.weights import save_weights
from humesh.training.checkpoints import check_same, checkpoints, read_checkpoint, remove_drafts, write_checkpoint
from humesh.training.learner import PRECISIONS, Learner, PoseJudges, in_half_precision, optimiser_of
from humesh.training.loading import loaded
from humesh.training.log import Table
from humesh.training.recipe import Recipe, TrainingError
from humesh.training.signals import stopping
from humesh.training.validation import held_out_errors, real_errors

_MOST_GB = 4  # of a batch's pictures; what the network makes of them takes many times as much
_BAD_STEPS = 3  # steps in a row without finite gradients after which training stops


@dataclass(frozen=True)
class Place:
    """Where and how a training runs; nothing of it decides the result but the rounding of the device.

    `say` gets sentences for the user, `watch` the step and its losses after each step. `real`: a folder of labelled
    photos to validate on, too.
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
        if recipe.batch % place.world:
            raise TrainingError(f"batch {recipe.batch}: expected a multiple of the {place.world} processes.")
        spec = method.spec
        crops = spec.count if spec.count is not None else int(getattr(method.config, "people", 1))
        pictures = 12e-9 * recipe.batch * crops * spec.size[0] * spec.size[1]  # three channels of 32 bits
        if pictures > _MOST_GB * place.world:
            raise TrainingError(
                f"batch {recipe.batch:,}: its pictures alone would take {pictures:,.0f} GB; give fewer."
            )
        if recipe.precision == "float16" and place.device.type != "cuda":
            raise TrainingError("precision float16 needs a GPU; use bfloat16 or float32.")
        self.name, self.recipe, self.groups, self.check, self.place = name, recipe, groups, check, place
        for module in method.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        self.learner = Learner(method, body.to(place.device), recipe).to(place.device)
        if place.device.type == "cuda" and place.world > 1:
            self.learner = nn.SyncBatchNorm.convert_sync_batchnorm(self.learner)
        if recipe.precision != "float32":
            in_half_precision(self.learner.method, PRECISIONS[recipe.precision], place.device)
        self.judges = PoseJudges(body.shapes).to(place.device) if recipe.judges else None
        self.optimiser = optimiser_of(self.learner, recipe)
        self.judges_optimiser: torch.optim.Optimizer | None = None
        if self.judges is not None and recipe.judges is not None:
            self.judges_optimiser = torch.optim.Adam(
                self.judges.parameters(), recipe.judges.rate, weight_decay=recipe.judges.decay
            )
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=recipe.precision == "float16")
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
            return self._run(first)

    def _run(self, first: bool) -> dict[str, float]:
        place, recipe = self.place, self.recipe
        self.resume()
        if first:
            remove_drafts(place.out)
            settings = {"recipe": self.name, **json.loads(recipe.as_json())}
            write_text(place.out / "recipe.json", json.dumps(settings, indent=1))
        log = Table(place.out / "log.csv", self.step) if first else None
        began = time.perf_counter()
        with stopping(self._stop):
            for batch in self.batches(self.step):
                means = self.one_step(batch.to(place.device))
                self._add(means)
                place.watch(self.step, {k: v.item() for k, v in means.items()} if self.step % 10 == 0 else {})
                if self.step % recipe.log_every == 0 or self.step == recipe.steps:
                    row = self._means()
                    row |= {"rate": recipe.rate_at(self.step - 1), "seconds": time.perf_counter() - began}
                    if log is not None:
                        log.write(self.step, row)
                if first and (self.step % recipe.validate_every == 0 or self.step == recipe.steps):
                    self.scores = self.validate()
                    found = self.scores | self.validate_on_real()
                    Table(place.out / "validation.csv", self.step - 1).write(self.step, found)
                    named = (f"{k} {v:.1f} {'%' if 'PCK' in k else 'mm'}" for k, v in found.items())
                    place.say(f"step {self.step}: " + ", ".join(named))
                stop = not self._everyone(torch.tensor(not self.stopped))
                if first and (self.step % recipe.save_every == 0 or self.step == recipe.steps or stop):
                    self.save()
                if stop:
                    break
        if first:
            self.save_weights()
        return self.scores

    def _stop(self) -> None:
        self.stopped = True
        self.place.say("stopping after this step (again: at once) ...")

    def one_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step on a batch; its losses' means."""
        # All that is random in a step follows from its number, so nothing need be remembered.
        torch.manual_seed(((self.recipe.seed << 40) + (self.step << 8) + self.place.rank) % 2**64)
        self.learner.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step) * group["factor"]
        loss, means, pose = self.parallel(batch, self.step, self.judges)
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
            self._renew_mean()
            if self.judges is not None and self.judges_optimiser is not None:
                means["judges"] = self._judges_step(batch, pose)
        return {"loss": loss.detach(), "gradient": norm.detach(), **means}

    def _skip(self, means: Mapping[str, Tensor]) -> None:
        self.bad += 1
        wrong = [name for name, mean in means.items() if not torch.isfinite(mean)] or ["the gradients"]
        self.place.say(f"step {self.step} is skipped: not finite in {', '.join(wrong)}.")
        # With float16's loss scale such steps are usual at first.
        if self.bad >= _BAD_STEPS and not self.scaler.is_enabled():
            raise TrainingError(
                f"step {self.step}: {self.bad} steps in a row without finite gradients ({', '.join(wrong)}); lower the "
                "learning rate (--rate), use --precision float32, or look at the data; the last checkpoint is kept."
            )

    def _judges_step(self, batch: Batch, pose: BodyPose) -> Tensor:
        assert self.judges is not None
        assert self.judges_optimiser is not None
        self.judges_optimiser.zero_grad(set_to_none=True)  # the generator's side left gradients here
        loss = self.judges.loss(pose, batch.targets, batch.crops.present)
        loss.backward()
        if self.place.world > 1:
            for parameter in self.judges.parameters():
                assert parameter.grad is not None
                distributed.all_reduce(parameter.grad)
                parameter.grad.div_(self.place.world)
        self.judges_optimiser.step()
        return loss.detach()

    @torch.no_grad()
    def _renew_mean(self) -> None:
        share = 1 - min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # short at first, TensorFlow's rule
        state = self.learner.method.state_dict()
        keys = [key for key, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.mean[key] for key in keys], [state[key] for key in keys], share)
        for key in state.keys() - set(keys):
            self.mean[key].copy_(state[key])

    def batches(self, start: int, groups: Groups | None = None, stop: int | None = None) -> Iterator[Batch]:
        """The batches of the steps from `start` on; each process gets its own part of every batch."""
        place, size = self.place, self.recipe.batch // self.place.world
        stop = self.recipe.steps if stop is None else stop
        first = ((step * place.world + place.rank) * size for step in range(start, stop))
        yield from self._loaded(groups or self.groups, ([n + i for i in range(size)] for n in first))

    def _loaded(self, groups: Groups, numbers: Iterator[list[int]]) -> Iterator[Batch]:
        return loaded(groups, numbers, self.place.workers, self.place.device.type == "cuda")

    # Validation and pictures

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

    def validate(self) -> dict[str, float]:
        """Errors of the running mean on what was held out, see `held_out_errors`; and a picture of some."""
        size, count = self.recipe.batch // self.place.world, self.recipe.held_out
        numbers = (list(range(n, min(n + size, count))) for n in range(0, count, size))
        with self.averaged() as method:
            batches = (batch.to(self.place.device) for batch in self._loaded(self.check, numbers))
            sheet = self.place.out / "pictures" / f"step-{self.step:07d}.jpg"
            return held_out_errors(method, self.learner.bodies[0], batches, self.recipe.seed, sheet)

    def validate_on_real(self) -> dict[str, float]:
        """Errors of the running mean, saved as the method's weights, on real photos; see `real_errors`."""
        if self.place.real is None:
            return {}
        self.save_weights()
        weights, device = self.place.out / "weights.safetensors", str(self.place.device)
        return real_errors(self.place.real, weights, self.recipe.body, device, self.place.say)

    # Checkpoints

    def save(self) -> None:
        """Writes a checkpoint; it appears only when it is whole, and the last two are kept."""
        state = {
            "recipe": self.name,
            "settings": self.recipe.as_json(),
            "step": self.step,
            "learner": self.learner.state_dict(),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "judges": None if self.judges is None else self.judges.state_dict(),
            "judges_optimiser": None if self.judges_optimiser is None else self.judges_optimiser.state_dict(),
            "bad": self.bad,
            "sums": self.sums,
            "scores": self.scores,
        }
        write_checkpoint(self.place.out, self.step, state)

    def resume(self) -> None:
        """Goes on from the folder's newest whole checkpoint; TrainingError where none of several is whole."""
        found = checkpoints(self.place.out)
        for path in reversed(found):
            try:
                state = read_checkpoint(path)
                check_same(self.name, self.recipe, state, self.place.out)
                self._take(state)
            except TrainingError:
                raise
            except Exception:  # of damaged bytes: zipfile, pickle and torch have no common base
                self.place.say(f"{path} is damaged and left out.")
                continue
            self.place.say(f"going on from step {self.step} of {self.recipe.steps} ({path}).")
            return
        if found:
            raise TrainingError(
                f"{self.place.out}: expected a whole checkpoint to go on from, all {len(found)} are damaged; give "
                "another folder with -o, or remove them to start anew."
            )

    def _take(self, state: Mapping[str, Any]) -> None:
        """Becomes what a checkpoint holds; whatever is wrong with that may be raised."""
        self.learner.load_state_dict(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.judges is not None and self.judges_optimiser is not None:
            self.judges.load_state_dict(state["judges"])
            self.judges_optimiser.load_state_dict(state["judges_optimiser"])
        for key, value in self.mean.items():
            value.copy_(state["mean"][key])
        self.sums = {key: value.to(self.place.device) for key, value in state["sums"].items()}
        self.step, self.bad, self.scores = int(state["step"]), int(state["bad"]), dict(state.get("scores", {}))

    def save_weights(self) -> None:
        """Writes the running mean as the method's weights."""
        notes = {
            "recipe": self.name,
            "settings": self.recipe.as_json(),
            "steps": str(self.step),
            "scores": ", ".join(f"{key} {value:.1f} mm on held-out samples" for key, value in self.scores.items()),
        }
        if (learned := self.learner.learned) is not None:
            notes["learned"] = json.dumps(dict(zip(learned.names, learned.scales.tolist(), strict=True)))
        body = "open" if self.learner.bodies[0].name in SHIPPED else "smpl"
        with self.averaged() as method:
            save_weights(self.place.out / "weights.safetensors", self.recipe.method, method, body, notes)

    def _add(self, means: Mapping[str, Tensor]) -> None:
        for key, mean in means.items():
            self.sums[key] = self.sums.get(key, torch.zeros_like(mean)) + mean
        self.sums["steps"] = self.sums.get("steps", torch.zeros(())) + 1

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
