"""`humesh demo`: everything on one free photograph, to see whether it works here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from humesh.commands.errors import UserError
from humesh.commands.predict import Options, predict
from humesh.files import writing


def demo(out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("humesh_demo")) -> int:
    """Recover the body in scikit-image's photo `camera` (CC0) and say where the pictures are.

    Args:
        out: Folder for the results.
    """
    try:
        from skimage.data import camera
    except ImportError:
        raise UserError('the demo needs scikit-image for its photo; run: pip install "humesh[demo]"') from None
    photo, pixels = out / "camera.png", camera()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not photo.exists():
            with writing(photo) as draft:
                Image.fromarray(pixels).save(draft)
        elif not np.array_equal(np.asarray(Image.open(photo)), pixels):
            raise UserError(f"{photo}: another picture is there; give another folder with -o.")
    except OSError as error:
        why = error.strerror or "what is there is no picture"
        raise UserError(f"cannot write {photo}: {why}; give another folder with -o.") from None
    return predict([str(photo)], Options(out=out, formats=("jpg", "views", "glb", "json"), overwrite=True))
