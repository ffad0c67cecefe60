"""Times each method's network against its own bare image encoder in the same run, on 2 threads in float32.

    python benchmarks/networks.py [--methods jotr int] [--gains]
    python benchmarks/networks.py --attention

The ratio is what everything but the encoder costs: method (JOTR with the body model) / encoder on the same crops in the
same memory format; medians over runs in which both take turns. `--gains` adds what channels-last, fused attention,
torch.compile and bfloat16 each bring, in milliseconds. The authors' own networks, measured the same way on 2 threads:
JOTR 1.56 (batch 1) and 1.47 (batch 8), INT 1.67 (an image) and 2.7 (16 frames), Multi-RoI 1.0 (five crops). "Folded" is
what `humesh predict` runs: batch norms inside the convolutions, weights standardised once. INT's encoder standardises
its weights in every run; in the rows "std_mean" it does so by torch.std_mean, which is eight times slower than our way
and brings the encoder, and so the ratio, near to the authors'. `--attention` times our attention there and back under
bfloat16 autocast against torch's own of the same sizes: a small INT's joints and frames, JOTR's volume.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from humesh.body.model import BodyModel
from humesh.methods.deploy import example_crops
from humesh.methods.weights import build
from humesh.networks.attention import Attention
from humesh.networks.encoders import StandardisedConv


@dataclass(frozen=True)
class Row:
    """One line of the table: a method with so many groups of so many crops; `theirs`: the authors' ratio."""

    method: str
    batch: int
    count: int = 1
    theirs: float | None = None
    settings: tuple[tuple[str, object], ...] = ()
    with_body: bool = False
    std_mean: bool = False


ROWS = (
    Row("jotr", 1, theirs=1.56, with_body=True),
    Row("jotr", 8, theirs=1.47, with_body=True),
    Row("multi_roi", 1, 5, 1.0),
    Row("multi_roi", 8, 5, 1.0),
    Row("multi_roi_authors", 1, 5, 1.0),
    Row("multi_roi_authors", 8, 5, 1.0),
    Row("int", 1, theirs=1.67, settings=(("temporal", "none"),)),
    Row("int", 8, theirs=1.67, settings=(("temporal", "none"),)),
    Row("int", 1, 16, 2.7),
    Row("int", 1, theirs=1.67, settings=(("temporal", "none"),), std_mean=True),
    Row("int", 1, 16, 2.7, std_mean=True),
    Row("ik_refine", 1, 3),
    Row("ik_refine", 8, 3),
)


def by_std_mean(conv: StandardisedConv) -> Tensor:
    """The standardised weights of a convolution, the short and slow way."""
    deviation, mean = torch.std_mean(conv.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
    return (conv.weight - mean) / (deviation + 1e-5)


OURS = StandardisedConv.standardised


def encoder_of(method: nn.Module, name: str) -> nn.Module:
    """The bare CNN of a method: its weights, nothing else."""
    return method.patch_embed.backbone if name == "int" else method.encoder  # type: ignore[union-attr, return-value]


def medians(works: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of works that take turns for so long, at least five times each."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(measured) for name, measured in times.items()}


def _last(format_: torch.memory_format) -> Callable[[Tensor], Tensor]:
    def moved(pixels: Tensor) -> Tensor:
        return pixels.flatten(0, 1).contiguous(memory_format=format_).unflatten(0, pixels.shape[:2])

    return moved


def measure(row: Row, seconds: float, gains: bool) -> str:
    """One row's line of the Markdown table."""
    torch.manual_seed(0)
    StandardisedConv.standardised = by_std_mean if row.std_mean else OURS  # type: ignore[method-assign]
    body = BodyModel.load("open")
    method = build(row.method, dict(row.settings), body).eval()
    crops = example_crops(method, row.batch, row.count)
    encoder = encoder_of(method, row.method)

    def works(format_: torch.memory_format, tag: str) -> dict[str, Callable[[], object]]:
        given = replace(crops, pixels=_last(format_)(crops.pixels))
        flat = given.pixels.flatten(0, 1)

        def run() -> object:
            pose = method(given).pose
            return body(pose) if row.with_body else pose

        return {f"encoder{tag}": lambda: encoder(flat), f"method{tag}": run}

    cells = []
    with torch.inference_mode():
        for format_ in (torch.contiguous_format, torch.channels_last):
            for parameter in method.parameters():  # module.to would stumble over JOTR's one 3D convolution
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=format_)
            times = medians(works(format_, ""), seconds)
            cells += [f"{times['encoder']:.0f}", f"{times['method']:.0f}", f"{times['method'] / times['encoder']:.2f}"]
        if gains:
            given = replace(crops, pixels=_last(torch.channels_last)(crops.pixels))
            compiled = torch.compile(method)
            with sdpa_kernel(SDPBackend.MATH):
                unfused = medians({"unfused": lambda: method(given)}, seconds)["unfused"]

            def half() -> object:
                with torch.autocast("cpu", torch.bfloat16):
                    return method(given)

            others = medians(
                {"fused": lambda: method(given), "compiled": lambda: compiled(given), "bf16": half}, seconds
            )
            cells += [f"{time_:.0f}" for time_ in (unfused, others["fused"], others["compiled"], others["bf16"])]
    theirs = "" if row.theirs is None else f"{row.theirs:.2f}"
    return (
        f"| {row.method}{', std_mean' * row.std_mean} | {row.batch} x {row.count} | "
        + " | ".join([*cells[:8], theirs, *cells[8:]])
        + " |"
    )


def there_and_back(attention: nn.Module, tokens: Tensor) -> None:
    """One pass forwards and backwards under bfloat16 autocast; torch's own without its weights: fused."""
    fused = {"need_weights": False} if isinstance(attention, nn.MultiheadAttention) else {}
    with torch.autocast("cpu", torch.bfloat16):
        answer = attention(tokens, tokens, tokens, **fused)
    mixed = answer[0] if fused else answer
    mixed.float().square().mean().backward()


def attention_table(seconds: float) -> None:
    """Prints how long ours and torch's take with INT's tokens in time, its joints and a volume of 6^3 cells."""
    print("| tokens | ours | torch's | ratio |\n| --- | ---: | ---: | ---: |")
    for batch, count, width, heads in ((1152, 16, 128, 4), (768, 24, 128, 4), (64, 216, 256, 8)):
        tokens = torch.randn(batch, count, width)
        both = {"ours": Attention(width, heads), "torch": nn.MultiheadAttention(width, heads, batch_first=True)}
        times = medians({name: partial(there_and_back, each, tokens) for name, each in both.items()}, seconds)
        row = f"{times['ours']:.0f} | {times['torch']:.0f} | {times['ours'] / times['torch']:.2f}"
        print(f"| {batch} x {count} | {row} |", flush=True)


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--gains", action="store_true")
    parser.add_argument("--attention", action="store_true")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each pair of timings")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.attention:
        return attention_table(given.seconds)
    print(f"torch {torch.__version__}, {given.threads} threads, float32; milliseconds (medians)\n")
    heads = ["method", "groups x crops", "encoder", "whole", "ratio", "encoder, channels last", "whole, channels last",
             "ratio, channels last", "authors' ratio"]  # fmt: skip
    if given.gains:
        heads += ["unfused attention", "fused", "compiled", "bfloat16"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for row in ROWS:
        if given.methods is None or row.method in given.methods:
            print(measure(row, given.seconds, given.gains), flush=True)


if __name__ == "__main__":
    main()
