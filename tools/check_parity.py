"""Compares humesh with a folder of arrays that the authors' networks made: prints each array's error, exits 1 if off.

python tools/check_parity.py jotr ../shared/parity/jotr --salt public
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from parity.arrays import Arrays

MODULES = {"jotr": "jotr", "multi_roi": "multi_roi", "int": "int_tokens", "ik_refine": "ik_refine"}


def check_folder(method: str, folder: Path, salt: str = "public", keys: Path | None = None) -> list[Arrays]:
    """Every npz of a folder compared; the records hold each array's error and what was left over."""
    checks = importlib.import_module(f"parity.{MODULES[method]}")
    files = {path.stem: Arrays(path) for path in sorted(folder.glob("*.npz"))}
    if not files:
        raise FileNotFoundError(f"{folder}: expected the npz files of {method}'s parity data, found none.")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checks.check(files, folder, salt, keys)
    return list(files.values())


def main(
    method: tyro.conf.Positional[Literal["jotr", "multi_roi", "int", "ik_refine"]],
    folder: tyro.conf.Positional[Path],
    salt: Annotated[str, tyro.conf.arg(help="prefix of the weights' seeds")] = "public",
    keys: Annotated[Path | None, tyro.conf.arg(help="folder with the state_dict*.json, if not in FOLDER")] = None,
) -> int:
    """Runs every comparison on a folder laid out like the public parity data."""
    bad = 0
    for arrays in check_folder(method, folder, salt, keys):
        for result in arrays.results:
            bad += not result.holds
            print(f"{'ok ' if result.holds else 'BAD'} {arrays.path.stem}/{result.name}: "
                  f"{result.error:.2e} (allowed {result.allowed:.2e})")  # fmt: skip
        for name in arrays.leftover():
            bad += 1
            print(f"BAD {arrays.path.stem}/{name}: not compared")
    print(f"{method}: {'everything holds' if not bad else f'{bad} arrays are off or were not compared'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
