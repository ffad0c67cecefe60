"""How fast people are found, and by how many passes: photos through the finder alone, network by network.

Run: python benchmarks/finding.py PHOTO... [--fast] [--threads 1 2]. Prints milliseconds a photo, people, and how often
each network runs a photo, of the landmark model a person. `--networks` times each by itself, in batches and by threads,
beside LiteRT where `ai-edge-litert` and MediaPipe's files (--tflite FOLDER) are there.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from humesh.media.photo import Photo
from humesh.people import networks
from humesh.people.finder import PeopleFinder

SIDES = {"movenet_multipose": 256, "movenet_thunder": 256}
MULTIPOSE_PX = (256, 512)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--tflite", type=Path, help="folder of MediaPipe's .tflite files, to compare with LiteRT")
    options = parser.parse_args()
    if options.networks:
        each_network(options.tflite)
    photos = [Photo.read(path) for path in options.photos]
    for threads in options.threads if photos else []:
        finding(photos, threads, options.fast)


def finding(photos: list[Photo], threads: int, fast: bool) -> None:
    """One line for a number of threads."""
    runs, loaded = Counter[str](), networks.network

    def counted(name: str) -> Callable[..., list]:
        runs[name] += 1
        return loaded(name)

    finder = PeopleFinder(workers=threads, fast=fast)
    finder(photos[0])
    networks.network = counted
    times, people = [], 0
    for photo in photos:
        start = time.perf_counter()
        people += len(finder(photo))
        times.append(1e3 * (time.perf_counter() - start))
    networks.network = loaded
    landmarks = runs["pose_landmark_heavy"] + runs["pose_landmark_full"]
    each = ", ".join(f"{name} {count / len(photos):.1f}" for name, count in sorted(runs.items()))
    print(
        f"{threads} threads: {statistics.median(times):.0f} ms a photo (mean {statistics.mean(times):.0f}), "
        f"{people / len(photos):.1f} people; {landmarks / max(people, 1):.1f} passes of the landmark model a person; "
        f"runs a photo: {each}"
    )


def each_network(tflite: Path | None) -> None:
    """Milliseconds a pass of each network by itself."""
    import onnxruntime

    for name in networks.NETWORKS:
        path = networks.ASSETS / f"{name}.onnx"
        for threads in (1, 2):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = threads, 3
            start = time.perf_counter()
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            load = 1e3 * (time.perf_counter() - start)
            batches = (1, 4) if name.startswith("pose") else (1,)
            sides = MULTIPOSE_PX if name == "movenet_multipose" else (256,)
            for batch in batches:
                for side in sides:
                    pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
                    ms = median_ms(lambda: session.run(None, {"pixels": pixels})) / batch  # noqa: B023
                    print(f"| ONNX Runtime | {name}, {side} px | {threads} | {batch} | {ms:.1f} | {load:.0f} |")
        if tflite is not None and (tflite / f"{name}.tflite").is_file():
            lite(tflite / f"{name}.tflite", name)


def lite(path: Path, name: str) -> None:
    """The same of LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    for threads in (1, 2):
        start = time.perf_counter()
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
        load = 1e3 * (time.perf_counter() - start)
        given = interpreter.get_input_details()[0]
        interpreter.set_tensor(given["index"], np.random.default_rng(0).random(given["shape"], np.float32))
        print(f"| LiteRT | {name}, 256 px | {threads} | 1 | {median_ms(interpreter.invoke):.1f} | {load:.0f} |")


def median_ms(work, runs: int = 25) -> float:  # type: ignore[no-untyped-def]
    """Median milliseconds of a work."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
