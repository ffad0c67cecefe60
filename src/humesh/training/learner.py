"""A method with its discriminators: from a batch to one number, in mixed precision where the work is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed, nn

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.batch import Batch
from humesh.losses import LearnedWeights, discriminator_terms, generator_term, mean_of_labelled
from humesh.methods.base import Method
from humesh.methods.lifter import LifterBlock
from humesh.networks.attention import PostNormLayer, PreNormBlock, TimeBlock
from humesh.networks.encoders import Encoder, HrNet, PatchEmbed
from humesh.networks.heads import PoseDiscriminator, shape_discriminator
from humesh.training.recipe import Recipe, TrainingError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HALVED = (HrNet, PatchEmbed, PostNormLayer, PreNormBlock, LifterBlock, TimeBlock)


class Discriminators(nn.Module):
    """HMR's discriminators of poses and shapes (CVPR 2018), and their optimiser with HMR's settings."""

    def __init__(self, shapes: int, device: torch.device) -> None:
        super().__init__()
        self.pose, self.shape = PoseDiscriminator(len(SMPL24) - 1), shape_discriminator(shapes)
        self.to(device)
        self.optimiser = torch.optim.Adam(self.parameters(), 1e-4, weight_decay=1e-4)

    def forward(self, pose: BodyPose) -> Tensor:
        """All scores of bodies `*g`, the shape's last."""
        return torch.cat([self.pose(pose.rotations[..., 1:, :, :]), self.shape(pose.shape)], dim=-1)

    def loss(self, predicted: BodyPose, batch: Batch) -> Tensor:
        """Their own loss: labels count as real, predictions as made."""
        targets = batch.targets
        weight = (targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0)
        scores = self(targets.pose), self(predicted)
        terms = discriminator_terms(*scores, weight.float(), batch.crops.present.float())
        return torch.stack([mean_of_labelled(term) for term in terms]).sum()

    def step(self, predicted: BodyPose, batch: Batch) -> Tensor:
        """Their step on a batch's predictions; the loss."""
        self.optimiser.zero_grad(set_to_none=True)  # the generator's side left gradients here
        loss = self.loss(predicted, batch)
        loss.backward()
        if distributed.is_initialized():
            for parameter in self.parameters():
                assert parameter.grad is not None
                distributed.all_reduce(parameter.grad)
                parameter.grad.div_(distributed.get_world_size())
        self.optimiser.step()
        return loss.detach()


class Learner(nn.Module):
    """The method, learned weights of losses, and the body that is trained."""

    def __init__(self, method: Method, body: BodyModel, recipe: Recipe) -> None:
        super().__init__()
        self.method, self.recipe = method, recipe
        self.bodies = (body,)  # in a tuple: not a part of what is learned
        self.learned = LearnedWeights(recipe.learned) if recipe.learned else None

    def forward(
        self, batch: Batch, step: int, discriminators: Discriminators | None = None
    ) -> tuple[Tensor, dict[str, Tensor], BodyPose]:
        """The weighed sum of the method's losses; these by name and the predicted pose, without gradients."""
        batch = replace(batch, crops=self.method.as_detected(batch.crops, batch.targets))
        prediction = self.method(batch.crops)
        losses = self.method.objective(batch.crops, prediction, batch.targets)
        if discriminators is not None:
            present = batch.crops.present * batch.targets.body_weight
            losses["adversarial"] = mean_of_labelled(generator_term(discriminators(prediction.pose), present))
        recipe = self.recipe
        unknown = sorted(set(recipe.weights) - set(losses) - set(recipe.optional))
        if unknown:
            raise TrainingError(
                f"loss weights {', '.join(unknown)}: {recipe.method} has no such terms here; it has "
                f"{', '.join(sorted(losses))}."
            )
        means = {name: losses[name] for name, weight in recipe.weights.items() if weight and name in losses}
        done = step / recipe.steps
        counted = {n: recipe.weights[n] * m for n, m in means.items() if done >= recipe.delayed.get(n, 0.0)}
        if self.learned is not None:
            counted |= self.learned(counted)
        loss = torch.stack(list(counted.values())).sum()
        return loss, {k: v.detach() for k, v in means.items()}, prediction.pose.map(lambda tensor: tensor.detach())


def in_half_precision(method: Method, dtype: torch.dtype, device: torch.device) -> None:
    """Makes encoders and transformer blocks compute in 16 bits; their outputs, and all that has units, stay in 32.

    Cameras, points in pixels and rotations lose too much in bfloat16's 8 bits: half a degree, several pixels.
    """

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with torch.autocast(device.type, dtype=dtype):
                output = function(*args, **kwargs)
            return output.float()

        return call

    for module in method.modules():
        if isinstance(module, Encoder):
            module.stem, module.body = wrapped(module.stem), wrapped(module.body)  # type: ignore[method-assign]
        elif isinstance(module, _HALVED):
            module.forward = wrapped(module.forward)  # type: ignore[method-assign]


def optimiser_of(learner: Learner, recipe: Recipe) -> torch.optim.Optimizer:
    """Groups of parameters by their factor of the learning rate; learned loss weights have no decay (JOTR)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        inner = name.removeprefix("method.")
        factor = next((f for start, f in recipe.rates.items() if inner.startswith(start)), 1.0)
        if not factor:
            parameter.requires_grad = False  # nor are gradients counted for what nothing before it learns from
            continue
        decay = 0.0 if name.startswith("learned.") else recipe.decay
        groups.setdefault((factor, decay), []).append(parameter)
    described = [
        {"params": parameters, "lr": recipe.rate * factor, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(described, recipe.rate, momentum=0.9)  # 0.9: INT's third phase
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    return kind(described, recipe.rate, fused=True)
