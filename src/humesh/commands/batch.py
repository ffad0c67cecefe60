"""`humesh batch`: many photos and videos, on this machine or a cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import ExitStack
from typing import Annotated, Literal

import tyro

from humesh.commands.errors import UserError, say, within
from humesh.files import locked

_PATIENCE_S = 5.0  # for a cluster's answer; Ray itself would wait for minutes
BatchFormat = Literal["jpg", "views", "errors", "mp4", "glb", "obj", "ply", "npz", "json", "bvh", "amass", "usd"]


def batch(
    inputs: tyro.conf.Positional[list[str]],
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])],
    formats: tuple[BatchFormat, ...] = (),
    weights: str = "",
    body: str = "open",
    device: str = "cpu",
    workers: int | None = None,
    threads: int = 1,
    gpus: float = 0.0,
    at_once: int = 8,
    ray_address: str | None = None,
) -> int:
    """Recover the people of many photos and videos on Ray: a Parquet row a person; a stopped run goes on.

    OUT/rows/*.parquet holds all numbers and, for inputs that failed, the sentence why; OUT/files what --formats names.

    Examples: humesh batch photos/ -o out; humesh batch "s3://bucket/*.jpg" -o s3://bucket/bodies --ray-address auto

    Args:
        inputs: Folders (with all below them), patterns, addresses (s3://, gs://, hf://, what fsspec opens), files, and
            lists: @FILE names an input on each line.
        out: Folder or address for the results.
        formats: Files to write for each input besides its rows; of photos, of videos, what they have.
        weights: A trained method's file, or a shipped one's name; the default is that of `humesh predict`.
        body: "open", or your own SMPL file, which every machine must have.
        device: Where a worker's networks run: cpu, or cuda with --gpus 1.
        workers: Workers; the default is one for each --threads cores, or for each GPU.
        threads: Cores of a worker.
        gpus: GPUs of a worker.
        at_once: Inputs that a worker gets together, after which their rows are written.
        ray_address: A running cluster's, or auto; the default is a Ray of this machine's own, without a server.
    """
    for option, value, most in (
        ("--workers", workers, 100_000),
        ("--threads", threads, 1024),
        ("--at-once", at_once, 10_000),
    ):
        within(option, value, 1, most)
    _check_address(ray_address)
    try:
        import ray

        from humesh import batch as module
        from humesh import batch_files
    except ImportError:
        raise UserError('batches need the packages ray and pyarrow; run: pip install "humesh[ray]"') from None
    from rich.progress import TextColumn

    from humesh.commands.inputs import PHOTO_ENDINGS, VIDEO_ENDINGS
    from humesh.commands.progress import progress_bar, say_above

    named = batch_files.listed(inputs, frozenset(PHOTO_ENDINGS | VIDEO_ENDINGS), out)
    out = batch_files.located(out)
    plan = module.Plan(out, tuple(formats), weights, body, device)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with ExitStack() as stack:
        if os.path.isabs(out):  # stores know no locks
            stack.enter_context(locked(out, "running a batch", UserError))
        done = len(set(named) & module.finished(out))
        try:
            ray.init(address=ray_address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            why = str(error).strip().partition("\n")[0].rstrip(".")
            raise UserError(f"--ray-address {ray_address}: expected a running cluster ({why}).") from None
        stack.callback(ray.shutdown)
        ray.data.DataContext.get_current().enable_progress_bars = False
        bar = stack.enter_context(progress_bar(TextColumn("{task.fields[pace]}")))
        task = bar.add_task("inputs", total=len(named), completed=done, pace="")
        began = time.monotonic()

        def report(metrics: module.Metrics, rows: list[dict]) -> None:
            speed = metrics.inputs / (time.monotonic() - began)
            bar.update(
                task,
                completed=done + metrics.inputs,
                pace=f"{metrics.people} people, {metrics.failed} failed, {speed:.2f} a second",
            )
            for row in rows:
                if row["status"] == "failed":
                    say_above(bar, f"failed: {row['message']}")

        metrics = module.run(named, plan, workers, threads, gpus, at_once, report)
    seconds = time.monotonic() - began
    say(
        f"{metrics.inputs} inputs in {seconds:.0f} s ({metrics.inputs / max(seconds, 1e-9):.2f} a second), "
        f"{metrics.people} people, {metrics.failed} failed; {done} were done before. {out}"
    )
    return 1 if metrics.failed else 0


def _check_address(address: str | None) -> None:
    """UserError where nothing listens at a cluster's HOST:PORT."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:  # auto: Ray itself knows where
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"--ray-address {address}: expected the HOST:PORT of a running cluster ({why}); start one there with "
            "`ray start --head`, or leave the option out."
        ) from None
