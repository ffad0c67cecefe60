"""Puts another lifter into the weights of the lifter through time, which reads nothing of it but its estimates.

    python tools/swap_lifter.py VIDEO LIFTER -o RUN

VIDEO, LIFTER: weights files of `lifter_video` and of `lifter`, or names of shipped ones. RUN gets a
`weights.safetensors`, as a folder of `humesh train` has it, for tools/ship_weights.py (the lifter first, or both).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from humesh.methods.weights import build, read_weights, save_weights, shipped


def main() -> None:
    """Writes the weights with the other lifter inside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("lifter")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    header, state = read_weights(shipped().get(arguments.video, Path(arguments.video)))
    _, lifter = read_weights(shipped().get(arguments.lifter, Path(arguments.lifter)))
    method = build(header.method, header.config)
    method.load_state_dict({**state, **lifter})
    save_weights(arguments.out / "weights.safetensors", header.method, method, header.body, header.notes)


if __name__ == "__main__":
    main()
