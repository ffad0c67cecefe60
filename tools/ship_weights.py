"""Puts a finished training's weights among those that come with humesh, in 16 bits, with their card in the header.

The lifter is held once: the files of methods that have it, number for number, leave it out and name it.

    python tools/ship_weights.py RUN... [--towards START SHARE] --data "what it was trained on" --scores "its scores"

RUN is a folder of `humesh train`. With `--towards` its weights are moved a share (0..1) of the way back to those that
it started from: robust fine-tuning (Wortsman et al., CVPR 2022). docs/weights.md is then written anew from the headers
of all shipped weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from humesh.methods.base import Method
from humesh.methods.weights import load_method, read_weights, save_weights, shipped

ROOT = Path(__file__).parents[1]
FOLDER, PAGE = ROOT / "src" / "humesh" / "weights", ROOT / "docs" / "weights.md"
MOST_MB = 50
LIFTER = "lifter"  # which the video method starts from and holds, frozen
LICENCE = "Apache-2.0; trained by us on data that is free for any use: use them for anything"
HEAD = """# The weights that come with humesh

Trained by ourselves, on synthetic people, free motion capture and what MediaPipe and MoveNet (Google, Apache-2.0)
detect in rendered people. No photograph of a person was used here, no licensed body, data set or network. Numbers are
stored in 16 bits and widened when they are read. The lifter, which the video method holds frozen, is only in its own
file: the other one names its SHA-256 and is read with it, {together:.0f} MB together. What you train or convert is
whole. Scores are of the day of the training; today's are in results.md.

Of the papers' networks (`jotr`, `multi_roi`, `ik_refine`, `int`) no trained weights are shipped: one is when it beats
the lifter on real photographs by more than the confidence interval. Until then convert the authors' checkpoints
(`humesh convert`) or train them: `tools/gpu_training.sh` does it on one large GPU in half an hour, on rendered people.

Written by `tools/ship_weights.py` from the files' headers.

"""


def main() -> None:
    """Ships one run and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--towards", nargs=2, metavar=("START", "SHARE"))
    parser.add_argument("--data", default="")
    parser.add_argument("--scores", default="")
    arguments = parser.parse_args()
    methods = {name: load_method(name) for name in shipped()}  # whole, before another lifter takes the place of theirs
    for run in arguments.runs:
        header, method = load_method(run / "weights.safetensors")
        if arguments.towards is not None:
            _move(method, Path(arguments.towards[0]), float(arguments.towards[1]))
            header.notes["towards"] = f"{arguments.towards[1]} of the way back to the weights that it started from"
        header.notes.update(data=arguments.data, test=arguments.scores, licence=LICENCE)
        methods[header.method] = header, method
    for name in sorted(methods, key=lambda name: (name != LIFTER, name)):
        header, method = methods[name]
        path = FOLDER / f"{name}.safetensors"
        save_weights(
            path, name, method, header.body, header.notes, half=True, rest=LIFTER if LIFTER in shipped() else ""
        )
        path.chmod(0o644)  # safetensors writes for its owner alone
        size = path.stat().st_size / 1e6
        print(f"{path}: {size:.1f} MB")
        if size > MOST_MB:
            path.unlink()
            raise SystemExit(f"expected at most {MOST_MB} MB for a method, got {size:.0f} MB: train a smaller one.")
    write_page()


def _move(method: Method, start: Path, share: float) -> None:
    """Moves a method's weights towards others of the same names and shapes."""
    first = read_weights(start)[1]
    with torch.no_grad():
        for name, parameter in method.state_dict().items():
            parameter.lerp_(first[name].to(parameter), share)


def write_page() -> None:
    """Writes docs/weights.md from the headers of all shipped weights."""
    cards = []
    for name, path in shipped().items():
        header, _ = read_weights(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB" + "".join(f", and the {rest}" for rest in header.rest)
        rows = {"size": size, **header.notes}
        rows["settings"] = f"`{rows.get('settings', '')}`"
        lines = "\n".join(f"- {key}: {value}" for key, value in rows.items() if value)
        cards.append(f"## {name}\n\n{lines}\n")
    together = sum(path.stat().st_size for path in shipped().values()) / 1e6
    PAGE.write_text(HEAD.format(together=together) + "\n".join(cards))


if __name__ == "__main__":
    main()
