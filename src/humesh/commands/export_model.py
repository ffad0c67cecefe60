"""`humesh export-model`: a method's network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError, nameable, within
from humesh.errors import HumeshError


def export_model(
    name: tyro.conf.Positional[str],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    weights: Path | None = None,
    crops: int | None = None,
    batch: int = 1,
) -> int:
    """Write a method's network as ONNX, for a fixed number of groups and crops.

    Its inputs are those of `humesh.crops.crops.Crops`: pixels, crop_from_photo, camera, keypoints, present,
    landmarks; its outputs rotations, shape and translation of every crop.

    Args:
        name: The method: jotr, multi_roi, multi_roi_authors, int, ik_refine.
        out: The .onnx file to write.
        weights: Trained weights (.safetensors); without, the network is untrained and only good for trying.
        crops: Crops in a group, where the method takes any number (frames of int, people of ik_refine); default 1.
        batch: Groups in a batch.
    """
    from humesh.methods.deploy import export_onnx
    from humesh.methods.weights import WeightsError, build, load_method

    if out.suffix != ".onnx":
        raise UserError(f"-o {out}: expected a name that ends in .onnx.")
    nameable("-o", out)
    within("--batch", batch, 1, 100_000)
    within("--crops", crops, 1, 10_000)
    try:
        if weights is None:
            method = build(name).eval()
            print(f"no weights given: the network of {name} is untrained.")
        else:
            header, method = load_method(weights)
            if header.method != name:
                raise WeightsError(f"weights {weights}: expected those of {name!r}, they are of {header.method!r}.")
        export_onnx(method, out, batch, crops)
    except HumeshError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}.") from None
    print(f"wrote {out}")
    return 0
