"""Compares `humesh batch` with two plain processes over the same photos: photos a second besides starting.

Run: python benchmarks/batch.py [--photos FOLDER] [--rounds 3]. Each side is run on a third of the photos and on all of
them, in turns; the difference of the two times leaves out what is spent on starting Python, Ray and the networks.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

_PLAIN = """
import sys
import torch
from humesh import Recoverer
torch.set_num_threads(1)
recoverer = Recoverer()
for path in sys.argv[1:]:
    recoverer(path).bodies.joints.sum()
"""


def made_up(folder: Path, count: int) -> list[Path]:
    """Photographs of one person, each a little moved, 1280 px wide."""
    from skimage.data import astronaut, camera

    paths = []
    for number in range(count):
        picture = Image.fromarray(camera() if number % 2 else astronaut()).convert("RGB").resize((1280, 1280))
        paths.append(folder / f"{number:04d}.jpg")
        Image.fromarray(np.roll(np.asarray(picture), 3 * number, axis=1)).save(paths[-1], quality=92)
    return paths


def plain(paths: list[Path]) -> None:
    """Two processes, each with every second photo."""
    halves = [[str(path) for path in paths[part::2]] for part in range(2)]
    processes = [subprocess.Popen([sys.executable, "-c", _PLAIN, *half]) for half in halves]
    assert not any(process.wait() for process in processes)


def batched(paths: list[Path]) -> None:
    """The command with two workers."""
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "names.txt"
        names.write_text("\n".join(map(str, paths)))
        command = "from humesh.commands.main import main; main()"
        arguments = ["batch", f"@{names}", "-o", f"{folder}/out", "--workers", "2"]
        subprocess.run([sys.executable, "-c", command, *arguments], check=True, capture_output=True)


def main() -> None:
    """Prints seconds and photos a second of each round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of 60 made of scikit-image's")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        found = arguments.photos and sorted(p for p in arguments.photos.rglob("*") if p.suffix in (".jpg", ".png"))
        paths = found or made_up(folder, 60)
        few, ratios = paths[: len(paths) // 3], []
        print(f"{len(paths)} photos, {len(few)} of them for the start")
        for _ in range(arguments.rounds):
            speeds = []
            for name, work in (("two plain processes", plain), ("humesh batch", batched)):
                times = []
                for part in (few, paths):
                    began = time.perf_counter()
                    work(part)
                    times.append(time.perf_counter() - began)
                speeds.append((len(paths) - len(few)) / (times[1] - times[0]))
                print(f"{name:20} {times[0]:6.1f} s, {times[1]:6.1f} s: {speeds[-1]:.2f} photos a second", flush=True)
            ratios.append(speeds[1] / speeds[0])
        print(f"humesh batch does {statistics.median(ratios):.2f} of the plain processes' photos a second")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
