"""`humesh demo`: the whole program on one free photograph, to see whether it works here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError
from humesh.commands.predict import predict


def demo(out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("humesh_demo")) -> int:
    """Recover the body in scikit-image's photo `camera` (CC0) and say where the pictures are.

    Args:
        out: Folder for the results.
    """
    try:
        from skimage.data import camera
    except ImportError:
        raise UserError('the demo needs scikit-image for its photo; run: pip install "humesh[demo]"') from None
    from PIL import Image

    try:
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(camera()).save(out / "camera.png")
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror}; give another folder with -o.") from None
    return predict([out / "camera.png"], out=out, formats=("jpg", "views", "glb", "json"), overwrite=True)
