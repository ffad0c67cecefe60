"""What the page's server works on: one file after the other, a job at a time for each user, forgotten after an hour."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humesh.errors import HumeshError

KEPT_S = 3600.0
_NAME_BYTES = 120  # of a file's name, which gets endings of its results; file systems take 255
_CLOSING_S = 10.0  # that work may take to notice that it shall end


@dataclass(frozen=True)
class Limits:
    """What the page takes."""

    megabytes: int = 500
    seconds: float = 600.0  # of a video
    work_s: float = 1800.0  # for a file

    @property
    def bytes(self) -> int:
        """The largest file."""
        return self.megabytes * 10**6

    @property
    def sentence(self) -> str:
        """The limits in words."""
        work = f"at most {self.work_s / 60:g} minutes of work"
        return f"Files of at most {self.megabytes} MB, videos of at most {self.seconds / 60:g} minutes, {work}."


class TooLongError(HumeshError, ValueError):
    """A video or its work beyond the page's limits."""


@dataclass(eq=False)
class Job:
    """A file of a user: where it lies, how far the work is, and what came of it."""

    user: str
    name: str
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = "sending"  # then waiting, working, done or failed
    message: str = ""
    fraction: float | None = None
    result: dict[str, Any] = field(default_factory=dict)  # for the page: overlay, scene, picture, files, people, notes
    since: float = field(default_factory=time.monotonic)  # when it came, then when it was done
    cancelled: bool = False

    @property
    def input(self) -> Path:
        """The file as it came, apart from those that are served."""
        return self.folder / "given" / self.name

    def served(self) -> dict[str, Path]:
        """The files that may be fetched, by their names."""
        names = [self.result.get("overlay"), self.result.get("scene"), self.result.get("picture")]
        return {name: self.folder / name for name in (*names, *self.result.get("files", ())) if name}


def plain_name(name: str) -> str:
    """A name that is that of a file in a folder on any system, whatever a browser sends."""
    plain = re.sub(r"[^\w .()-]", "_", name.replace("\\", "/").rpartition("/")[2])
    return plain.encode()[-_NAME_BYTES:].decode(errors="ignore").strip(". ") or "file"


Work = Callable[[Job, Limits], None]


class Jobs:
    """All jobs of a server, in a folder that goes with it; `work` fills a job's result, its HumeshErrors are shown."""

    def __init__(self, work: Work, limits: Limits | None = None) -> None:
        self.work, self.limits = work, limits or Limits()
        self.folder = Path(tempfile.mkdtemp(prefix="humesh-app-"))
        self.jobs: dict[str, Job] = {}
        self.queue: deque[Job] = deque()
        self.changed = threading.Condition()
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._run, name="humesh-jobs", daemon=True)
        self.thread.start()
        threading.Thread(target=self._sweep, name="humesh-sweep", daemon=True).start()

    def begin(self, user: str, name: str, number: str = "") -> Job | None:
        """A job whose file is about to come; None while another one of the user's is not done."""
        self.forget()
        with self.changed:
            if number in self.jobs:
                return None
            for other in [job for job in self.jobs.values() if job.user == user]:
                if other.state not in ("done", "failed"):
                    return None
                self.remove(other)
            job = Job(user, plain_name(name), Path(tempfile.mkdtemp(dir=self.folder)))
            job.id = number or job.id
            job.input.parent.mkdir()
            self.jobs[job.id] = job
        return job

    def enqueue(self, job: Job) -> None:
        """The file is there; one that was cancelled while it came is not worked on."""
        with self.changed:
            if job.cancelled:
                return
            job.state = "waiting"
            self.queue.append(job)
            self.changed.notify()

    def get(self, number: str, user: str) -> Job | None:
        """A user's job; nobody sees another one's."""
        job = self.jobs.get(number)
        return job if job is not None and job.user == user else None

    def of_user(self, user: str) -> Job | None:
        """The user's last job."""
        return next((job for job in reversed(list(self.jobs.values())) if job.user == user), None)

    def state(self, job: Job) -> dict[str, Any]:
        """What the page shows of a job."""
        with self.changed:
            is_working = any(each.state == "working" for each in self.jobs.values())
            ahead = self.queue.index(job) + is_working if job in self.queue else 0
        state = {"id": job.id, "state": job.state, "message": job.message, "fraction": job.fraction, "ahead": ahead}
        return state | job.result

    def remove(self, job: Job) -> None:
        """Ends a job and deletes its files."""
        with self.changed:
            job.cancelled = True
            self.jobs.pop(job.id, None)
            if job in self.queue:
                self.queue.remove(job)
        if job.state != "working":  # else its own thread does when it notices
            shutil.rmtree(job.folder, ignore_errors=True)

    def forget(self) -> None:
        """Deletes what has been done for an hour."""
        for job in list(self.jobs.values()):
            if time.monotonic() - job.since > KEPT_S and job.state in ("done", "failed"):
                self.remove(job)

    def close(self) -> None:
        """Ends everything and deletes all files."""
        with self.changed:
            self.closed.set()
            for job in self.jobs.values():
                job.cancelled = True
            self.changed.notify_all()
        try:
            self.thread.join(_CLOSING_S)
        finally:  # also where Ctrl-C is pressed once more
            shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        while not self.closed.wait(60):
            self.forget()

    def _run(self) -> None:
        while True:
            with self.changed:
                while not self.queue and not self.closed.is_set():
                    self.changed.wait()
                if self.closed.is_set():
                    return
                job = self.queue.popleft()
                job.state = "working"
            state, error = "failed", self._worked(job)
            if error is None:
                state = "done"
            elif isinstance(error, HumeshError):
                job.message = str(error).replace(str(job.input), job.name)
            elif not isinstance(error, CancelledError):  # a bug must not end the server for everybody
                job.message = f"this is a bug in humesh ({type(error).__name__}); report it with the file."
                traceback.print_exception(error)
            job.since, job.state = time.monotonic(), state
            if job.cancelled:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _worked(self, job: Job) -> Exception | None:
        """Works on a job; what it raised, TooLongError where it was not done in time.

        Work that does not notice that it shall end goes on in its thread, and the next job has another one.
        """
        errors: list[Exception] = []

        def work() -> None:
            try:
                self.work(job, self.limits)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=work, name="humesh-job", daemon=True)
        thread.start()
        thread.join(self.limits.work_s)
        if not thread.is_alive():
            return errors[0] if errors else None
        job.cancelled = True
        thread.join(_CLOSING_S)
        return TooLongError(
            f"{job.name}: expected to be done within {self.limits.work_s / 60:g} minutes, it takes longer; cut it, or "
            "use the command line."
        )
