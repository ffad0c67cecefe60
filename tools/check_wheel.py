"""Checks a built wheel: its size, that of what it installs, and that other Pythons and platforms find all they need.

python tools/check_wheel.py dist/humesh-*.whl    (where that wheel is installed; `pip install uv` for the last check)

pip cannot tell for another platform what is needed there (it asks the running one whether it is Linux), uv can. Only
metadata are fetched, no package; what lacks a wheel is an error. Exits 1 if something is off.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

MOST_WHEEL, MOST_INSTALLED = 100, 410  # MB of 2**20 bytes, as PyPI and du count; 300 before SciPy (109) was needed
TORCH = ("torch", "torchvision", "timm")
"""With what they need by themselves they are left out of the installed size: whoever has torch has them, and chooses
between its kinds, of 0.2 to 5 GB."""
TORCHS = re.compile(rf"({'|'.join(TORCH)}|triton|nvidia-.*|cuda-.*)$")
"""What is left out of the strict sum, which is told only: torch's own parts, not NumPy and the like."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux": "x86_64-manylinux_2_28",
    "macOS 14 (arm64)": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
}


def needed(*names: str) -> dict[str, Distribution]:
    """Installed packages and all that they need here, by name, without extras."""
    found, waiting = dict[str, Distribution](), [*names]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found[name] = distribution(name)
            needs = map(Requirement, found[name].requires or [])
            waiting += [r.name for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def megabytes(package: Distribution) -> float:
    """What a package takes on the disk, without what was compiled since."""
    paths = {Path(str(package.locate_file(file))) for file in package.files or [] if file.suffix != ".pyc"}
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


def sizes(wheel: Path, name: str = "humesh") -> Iterator[str]:
    """What is too large; tells the sizes."""
    packed = wheel.stat().st_size / 2**20
    print(f"wheel: {packed:.1f} MB (at most {MOST_WHEEL})")
    if packed > MOST_WHEEL:
        yield f"the wheel has {packed:.1f} MB"
    each = {name: megabytes(package) for name, package in needed(name).items()}
    added = each.keys() - needed(*TORCH).keys()
    total, largest = sum(each[name] for name in added), sorted(added, key=lambda name: -each[name])[:8]
    told = ", ".join(f"{name} {each[name]:.0f}" for name in largest)
    print(
        f"installed beyond torch, torchvision and timm: {total:.0f} MB (at most {MOST_INSTALLED}): {told}, smaller ones"
    )
    strict = sum(size for name, size in each.items() if not TORCHS.match(name))
    print(f"with what these need by themselves, as NumPy, but torch's own parts: {strict:.0f} MB")
    if total > MOST_INSTALLED:
        yield f"{total:.0f} MB are installed"


def unresolved(wheel: Path) -> Iterator[str]:
    """The Pythons and platforms that lack something; tells how many packages the others need."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "-",
        "--no-config",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    # Neither may another Python be fetched, nor is a Mac older than what av is built for.
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    for python in PYTHONS:
        for place, platform in PLATFORMS.items():
            target = ["--only-binary", ":all:", "--python-version", python, "--python-platform", platform]
            asked = f"humesh @ {wheel.resolve().as_uri()}"
            done = subprocess.run(
                [*command, *target], input=asked, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                yield f"Python {python} on {place}: {' '.join(done.stderr.split())[:600]}"
            else:
                print(f"Python {python} on {place}: {len(done.stdout.splitlines())} packages, all with wheels")


def main() -> None:
    wheel = Path(sys.argv[1])
    try:
        wrong = [*sizes(wheel), *unresolved(wheel)]
    except (PackageNotFoundError, OSError) as error:
        wrong = [f"{error}"]
    for sentence in wrong:
        print(f"WRONG: {sentence}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
