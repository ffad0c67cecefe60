"""Reading damaged files in processes of their own: whatever happens to one is written down, and the rest go on."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.mutations import mutated
from fuzzing.readers import READERS
from humesh.errors import HumeshError

MEMORY_BYTES = 500 * 2**20
"""What reading a file may take beyond what the process has when it begins."""
CPU_S, WALL_S = 10, 120  # of one case: the first for loops without an end, the second for waiting without an end
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files there are written twice as fast as on a disk
_FORBIDDEN = {"os.system", "os.exec", "os.spawn", "pty.spawn", "socket.connect", "webbrowser.open"}
"""Events of `sys.audit` that no file may bring about."""


@dataclass
class Outcome:
    """What became of a reader's cases; `leaks`: by what came instead of a sentence, the cases."""

    name: str
    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    leaks: dict[str, list[int]] = field(default_factory=dict)

    @property
    def leaked(self) -> int:
        """The number of cases that ended in something else than success or one clear sentence."""
        return sum(map(len, self.leaks.values()))


def damaged(name: str, case: int, files: list[Path], valid: dict[Path, bytes]) -> tuple[Path, bytes]:
    """The file that a case damages, and its new content: the same whenever it is asked for."""
    random = Random(f"{name} {case}")
    path = random.choice(files)
    others = [file for file in files if file.suffix == path.suffix]
    return path, mutated(random, valid[path], valid[random.choice(others)])


def run(name: str, cases: range) -> Outcome:
    """All cases of a reader, read in a child process, which is made anew where it dies."""
    outcome, start = Outcome(name), cases.start
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_MEMORY) as scratch:
        place, log = mmap.mmap(-1, 8), Path(scratch) / "log"
        while start < cases.stop:
            place[:] = struct.pack("<q", start - 1)
            report, write = os.pipe()
            child = os.fork()
            if not child:
                os.close(report)
                _child(name, range(start, cases.stop), Path(scratch), place, write, log)
            os.close(write)
            with os.fdopen(report) as lines:
                for line in lines:
                    _count(outcome, json.loads(line))
            _, status = os.waitpid(child, 0)
            (case,) = struct.unpack("<q", place[:])
            if status == 0:
                break
            if case < start:
                print(f"{name}: its valid files cannot be read:\n{log.read_text()[-3000:]}", file=sys.stderr)
                outcome.leaks["its valid files cannot be read"] = [start]
                break
            outcome.leaks.setdefault(_ending(status, log.read_text(errors="replace")), []).append(case)
            start = case + 1
    return outcome


def _count(outcome: Outcome, said: dict[str, Any]) -> None:
    outcome.slowest_s = max(outcome.slowest_s, said["seconds"])
    if said["leak"]:
        outcome.leaks.setdefault(said["leak"], []).append(said["case"])
    outcome.read += said["read"]
    outcome.refused += not said["read"] and not said["leak"]


def _ending(status: int, log: str) -> str:
    """Why a process died, and where in humesh it was."""
    code = os.waitstatus_to_exitcode(status)
    why = {-signal.SIGPROF: f"more than {CPU_S} s of work", 1: f"more than {WALL_S} s"}
    what = why.get(code) or (f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}")
    frames = [":".join(found) for found in re.findall(r'File "([^"]+)", line (\d+)', log)]
    return f"{what} @ {_shortened(next((f for f in frames if '/humesh/' in f), frames[0] if frames else 'nowhere'))}"


def _shortened(place: str) -> str:
    return place.rpartition("/humesh/")[2]


def _child(name: str, cases: range, scratch: Path, place: mmap.mmap, write: int, log: Path) -> None:
    """Reads the cases; never returns."""
    code = 3
    try:
        with log.open("w") as told, open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(told.fileno(), 2)  # what C libraries print
            faulthandler.enable(told)
            faulthandler.register(signal.SIGPROF, told, chain=True)
            try:
                folder = Path(tempfile.mkdtemp(dir=scratch))
                for case, said in _cases(name, cases, folder / "files", place):
                    os.write(write, (json.dumps({"case": case, **said}) + "\n").encode())
                code = 0
            except BaseException:  # it is the parent who says so
                traceback.print_exc(file=told)
                told.flush()
    finally:
        os._exit(code)


def _cases(name: str, cases: range, folder: Path, place: mmap.mmap) -> Iterator[tuple[int, dict[str, Any]]]:
    folder.mkdir()
    files = READERS[name].prepared(folder)
    valid = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    executed, parent = _watch(), os.getppid()
    _limit_memory()
    for case in cases:
        if os.getppid() != parent:  # it was killed
            return
        path, content = damaged(name, case, files, valid)
        path.write_bytes(content)
        place[:] = struct.pack("<q", case)
        executed.clear()
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        faulthandler.dump_traceback_later(WALL_S, exit=True)
        began = time.process_time()
        leak, read = outcome(lambda path=path: READERS[name].read(folder, path))
        seconds = time.process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        leak = f"code of the file ran: {executed[0]}" if executed else leak
        yield case, {"read": read and not leak, "leak": leak, "seconds": seconds}
        _restored(folder, valid)


def _restored(folder: Path, valid: dict[Path, bytes]) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in valid]:
        path.unlink()
    for path, content in valid.items():
        if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.write_bytes(content)


def outcome(read: Callable[[], object]) -> tuple[str, bool]:
    """What leaked, "" if nothing, and whether the file was read."""
    try:
        read()
    except HumeshError as error:
        return _unclear(str(error)), False
    except BaseException as error:  # all else is what is looked for; a KeyboardInterrupt ends the parent
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "/humesh/" in f.filename] or frames
        return f"{type(error).__name__} @ {_shortened(ours[-1].filename)}:{ours[-1].lineno}", False
    return "", True


def _unclear(sentence: str) -> str:
    """What is wrong with an error's words, "" if nothing."""
    if len(sentence) < 20:
        return f"too short a sentence: {sentence!r}"
    if len(sentence) > 2500 or sentence.count("\n") > 3:
        return f"too long a sentence: {sentence[:60]!r}..."
    strange = [c for c in sentence if not c.isprintable() and c not in "\n\t"]
    return f"steers the terminal: {strange[0]!r} in {sentence[:60]!r}" if strange else ""


def _watch() -> list[str]:
    executed: list[str] = []

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FORBIDDEN:
            executed.append(f"{event} {arguments!r:.60}")

    sys.addaudithook(heard)
    return executed


def _limit_memory() -> None:
    """Ends what wants much more memory than is in use now: on Linux alone, which counts it."""
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text()
    used = int(status.partition("VmData:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def table(outcomes: list[Outcome], worst: int = 5) -> str:
    """The numbers of each reader, and of each kind of leak how to repeat one."""
    head = f"{'reader':<18} {'cases':>7} {'read':>7} {'refused':>7} {'leaks':>7} {'slowest':>9}"
    lines = [head]
    for o in outcomes:
        cases = o.read + o.refused + o.leaked
        lines.append(f"{o.name:<18} {cases:7} {o.read:7} {o.refused:7} {o.leaked:7} {o.slowest_s:7.2f} s")
    for o in outcomes:
        kinds = Counter({kind: len(found) for kind, found in o.leaks.items()}).most_common(worst)
        lines += [
            f"  {count} x {kind}: python tools/fuzz.py {o.name} --case {o.leaks[kind][0]}" for kind, count in kinds
        ]
        if len(o.leaks) > worst:
            lines.append(f"  {o.name}: {len(o.leaks) - worst} more kinds")
    return "\n".join(lines)
