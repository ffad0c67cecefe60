"""Damages files at random and reads them: everything must end in success or in one clear sentence (HumeshError).

    python tools/fuzz.py body_pkl --count 10000      10,000 damaged files for one reader
    python tools/fuzz.py all --count 200             all readers
    python tools/fuzz.py body_pkl --case 17          one case with its traceback; --keep FOLDER keeps its files

Needs humesh with its `test` extra, and fork: Linux or macOS.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import traceback
from functools import partial
from multiprocessing import get_context
from pathlib import Path


def main() -> int:
    """Runs what the command line asks for; 1 where something leaked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", nargs="+", help="names, or all")
    parser.add_argument("--count", type=int, default=200, help="cases of each reader")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--jobs", type=int, default=2, help="readers at a time")
    parser.add_argument("--case", type=int, help="this one alone, in this process")
    parser.add_argument("--keep", type=Path, help="where the files of --case are left")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    from fuzzing import processes, readers

    unknown = sorted(set(options.reader) - {*readers.READERS, "all"})
    if unknown:
        parser.error(f"unknown readers {', '.join(unknown)}; expected all or some of {', '.join(readers.READERS)}")
    names = list(readers.READERS) if "all" in options.reader else options.reader
    if options.case is not None:
        return _one(names[0], options.case, options.keep)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the pool ends its processes
    cases = range(options.seed, options.seed + options.count)
    with get_context("fork").Pool(options.jobs) as pool:
        outcomes = []
        for number, outcome in enumerate(pool.imap(partial(processes.run, cases=cases), names)):
            outcomes.append(outcome)
            print(f"{number + 1} of {len(names)}: {outcome.name}, {outcome.leaked} leaks", file=sys.stderr, flush=True)
    print(processes.table(outcomes))
    return int(any(o.leaked for o in outcomes))


def _one(name: str, case: int, keep: Path | None) -> int:
    """Reads one case's file and shows what comes of it."""
    from fuzzing import processes, readers

    folder = keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    files = readers.READERS[name].prepared(folder)
    path, content = processes.damaged(name, case, files, {file: file.read_bytes() for file in files})
    path.write_bytes(content)
    print(f"{path}: {len(content)} bytes, {content[:80]!r}")

    def read() -> None:
        try:
            readers.READERS[name].read(folder, path)
        except BaseException:  # shown whatever it is, and raised again
            traceback.print_exc()
            raise

    leak, was_read = processes.outcome(read)
    print(leak or ("read" if was_read else "refused in one sentence"))
    return int(bool(leak))


if __name__ == "__main__":
    sys.exit(main())
