"""How fast synthetic people are made and varied, on one core.

Run: OMP_NUM_THREADS=1 python benchmarks/synthetic.py POSES.npz [--count 200] [--size 256]. Prints milliseconds of
processor time (on a shared machine wall time says little), the middle and the quietest part, and samples a second: for
scenes of one person and of two to four, and for variations of stored scenes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.scenes import SceneSampler
from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards


def per_second(make: Callable[[int], object], count: int) -> str:
    """Milliseconds of processor time a call, in the middle and in the quietest of ten parts, and calls a second."""
    make(0)
    parts = []
    for part in range(10):
        numbers = range(part * count // 10, (part + 1) * count // 10)
        start = time.process_time()
        for number in numbers:
            make(number)
        parts.append((time.process_time() - start) / len(numbers))
    return ", ".join(f"{1000 * spent:.1f} ms ({1 / spent:.0f} a second)" for spent in (sorted(parts)[5], min(parts)))


def main() -> None:
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("poses")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    motion = Motion.read([arguments.poses])
    for people in ((1, 1), (2, 4)):
        scenes = SceneSampler(motion, people=people, size=arguments.size)
        print(f"rendered, {people[0]} to {people[1]} people: {per_second(scenes.layer, arguments.count)}")
    with tempfile.TemporaryDirectory() as folder:
        list(write_shards(Path(folder), Plan((arguments.poses,), 128, size=arguments.size)))
        stored = ShardedPeople(folder)
        for number in range(3 * 128):  # fills the stock of backgrounds
            stored[number]
        print(f"varied, 1 person:         {per_second(lambda i: stored[1000 + i], arguments.count)}")


if __name__ == "__main__":
    main()
