"""Makes the README's picture: scikit-image's photograph `camera` (CC0), the body recovered on it, and it turning.

Run: python tools/make_pictures.py [-o docs/pictures/turning.gif]; needs `pip install "humesh[demo]"`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import camera

import humesh
from humesh.media.video import Video

HEIGHT = 300  # px
FRAMES = 36  # of the turn
SECONDS = 4


def main() -> None:
    """Writes the moving picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/pictures/turning.gif"))
    out: Path = parser.parse_args().out
    result = humesh.recover(camera())
    still = [_scaled(result.photo.pixels), _scaled(result.render("overlay"))]
    with tempfile.TemporaryDirectory() as folder:
        (film,) = result.save(Path(folder) / "turn.mp4")
        turn = [_scaled(frame.pixels) for frame in Video(film)]
    chosen = [turn[round(row)] for row in np.linspace(0, len(turn), FRAMES, endpoint=False)]
    frames = [Image.fromarray(np.concatenate([*still, picture], axis=1)) for picture in chosen]
    palette = frames[0].quantize(96)  # one for all, or the still parts would flicker
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    out.parent.mkdir(parents=True, exist_ok=True)
    duration = 1000 * SECONDS // FRAMES  # ms a frame
    small[0].save(out, save_all=True, append_images=small[1:], duration=duration, loop=0, optimize=True)
    print(f"{out}: {out.stat().st_size / 1e3:.0f} kB, {len(result.people)} of 1 person found")


def _scaled(pixels: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(pixels)
    size = round(picture.width * HEIGHT / picture.height), HEIGHT
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
