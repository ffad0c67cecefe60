"""`humesh convert`: an authors' checkpoint into weights that humesh runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError, say


def convert(
    file: tyro.conf.Positional[Path],
    method: str,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    vposer: Path | None = None,
) -> int:
    """Convert a checkpoint that a method's authors released; nothing in it is executed.

    Body models inside checkpoints are left out: they are licensed, and `humesh predict --body FILE` takes your own.

    Args:
        file: The checkpoint (.pth, .pt, .pth.tar).
        method: Whose it is: jotr, int, multi_roi_authors, ik_refine (its refiner).
        out: The .safetensors file to write.
        vposer: VPoser's weights for jotr: its snapshot, or the checkpoint itself, which holds a copy. Their licence
            (Max Planck Society, non-commercial) then holds for the converted file too.
    """
    from humesh.methods.weights import convert as convert_weights

    if out.suffix != ".safetensors":
        raise UserError(f"-o {out}: expected a name that ends in .safetensors.")
    try:
        header, left = convert_weights(file, method, out, vposer)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}.") from None
    for reason, keys in left.items():
        say(f"left out {len(keys)} entries ({keys[0]}{', ...' if len(keys) > 1 else ''}): {reason}")
    whole = f"the {header.part} of {method}" if header.part else method
    say(f"wrote {out}: {whole}")
    if not header.part:
        say(f"run it: humesh predict PHOTO --weights {out} --body YOUR_SMPL_FILE")
    return 0
