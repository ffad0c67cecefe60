"""Folders, lists and buckets of photos and videos on Ray Data: a Parquet row for each person, files for each input.

The driver lists the inputs and writes rows as batches of inputs come back; workers are actors that hold the networks,
one for each share of the machine. An input is done when all of its rows are in a Parquet file, so a stopped run goes on
with the rest; an input that fails gets one row with its sentence, as does one that killed its worker several times.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humesh.batch_files import FULL, clear_scratch, file_system, read_json, scratch_folder, write
from humesh.body.pose import BodyPose
from humesh.errors import HumeshError, MissingPackageError, RunError
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.media.kinds import kind_of
from humesh.recover import DEFAULT, IN_VIDEOS, Recoverer
from humesh.recover_video import recover_video
from humesh.scene.export import PHOTO_FORMATS, VIDEO_FORMATS
from humesh.scene.result import Result, VideoResult

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as pads
    from pyarrow import fs, parquet
except ImportError:  # pragma: no cover
    raise MissingPackageError('batches need the packages ray and pyarrow; run: pip install "humesh[ray]"') from None

_MOST_DEATHS = 3  # of its worker that an input may cause
_STOPPED = "stopped"  # the status of a row that ends the run, as Ray does not hand over exceptions


_floats = pa.list_(pa.float32())
SCHEMA = pa.schema([
    ("input", pa.string()),
    ("status", pa.string()),  # done or failed
    ("message", pa.string()),  # why it failed; what was guessed
    ("people", pa.int32()),  # rows of this input with a person
    ("person", pa.int32()),  # null: nobody was found, or it failed
    ("score", pa.float32()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("focal_px", pa.float32()),
    ("times_s", _floats),  # of a video's track, F; of a photo empty
    ("box_xyxy", _floats),  # 4; of a video empty
    ("translation_m", _floats),  # 3, or F x 3
    ("pose_axis_angle", _floats),  # 24 x 3, or F x 24 x 3
    ("betas", _floats),
    ("joints_xyz_m", _floats),  # 24 x 3, or F x 24 x 3
    ("expected_error_m", _floats),  # 24; of a video empty
    ("method", pa.string()),
    ("files", pa.list_(pa.string())),  # below the output
])  # fmt: skip
"""The columns of the Parquet files; matrices are flattened row by row."""


@dataclass(frozen=True)
class Plan:
    """What every worker knows."""

    out: str
    formats: tuple[str, ...] = ()
    weights: str = ""
    body: str = "open"
    device: str = "cpu"


@dataclass
class Metrics:
    """How much of a run is done."""

    inputs: int = 0
    people: int = 0
    failed: int = 0


def finished(out: str) -> set[str]:
    """The inputs all of whose rows an output holds."""
    system, path = file_system(out)
    files = [
        info.path
        for info in system.get_file_info(fs.FileSelector(f"{path}/rows", allow_not_found=True))
        if info.path.endswith(".parquet")
    ]
    if not files:
        return set()
    rows = pads.dataset(files, filesystem=system, schema=SCHEMA).to_table(columns=["input", "people"])
    have = Counter(rows["input"].to_pylist())
    wanted = dict(zip(rows["input"].to_pylist(), rows["people"].to_pylist(), strict=True))
    return {name for name, people in wanted.items() if have[name] >= max(people, 1)}


class Worker:
    """An actor: the networks, loaded once, and what it makes of batches of inputs."""

    def __init__(self, plan: Plan, threads: int) -> None:
        clear_scratch()
        torch.set_num_threads(threads)
        self.plan, self.system = plan, file_system(plan.out)
        self._recoverers: dict[str, Recoverer] = {}  # by weights

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        """Rows of all inputs of a batch; only a row with the sentence where the run has to end."""
        try:
            rows = self._rows_of(batch)
        except RunError as error:
            rows = [{"status": _STOPPED, "message": str(error)}]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _rows_of(self, batch: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        names = [str(name) for name in batch["input"]]
        system, out = self.system
        journal = f"{out}/attempts/{_digest(names[0])}.json"  # which input was worked on when a worker died
        attempts = read_json(system, journal)
        rows: list[dict[str, Any]] = []
        for name in names:
            attempts[name] = attempts.get(name, 0) + 1
            if attempts[name] > _MOST_DEATHS:
                rows.append(_failed(name, f"{name}: its worker died {_MOST_DEATHS} times; the file may be damaged."))
                continue
            write(system, journal, json.dumps(attempts).encode())
            rows += self._rows(name)
            attempts[name] = 0  # it lets its worker live
        system.delete_file(journal)
        return rows

    def _rows(self, name: str) -> list[dict[str, Any]]:
        """An input's rows; what goes wrong with it becomes its row."""
        try:
            system, path = file_system(name)
            local = isinstance(system, fs.LocalFileSystem)
            with scratch_folder() as folder:
                given = Path(path) if local else folder / (Path(path).name or "input")
                if not local:
                    with system.open_input_stream(path) as stream, open(given, "wb") as file:
                        while block := stream.read(2**22):
                            file.write(block)
                return self._recovered(name, given, folder)
        except RunError:
            raise
        except HumeshError as error:
            return [_failed(name, str(error))]
        except OSError as error:
            if error.errno in FULL:
                raise RunError(f"results cannot be written ({error.strerror}); make room.") from None
            return [_failed(name, f"{name}: cannot be read ({error.strerror or error}).")]
        except Exception as error:  # a bug on one input must not end a million others
            return [_failed(name, f"{name}: this is a bug in humesh ({type(error).__name__}: {error}).")]

    def _recovered(self, name: str, given: Path, folder: Path) -> list[dict[str, Any]]:
        is_video = kind_of(given) == "video"
        weights = self.plan.weights or (IN_VIDEOS if is_video else DEFAULT)
        try:
            if weights not in self._recoverers:
                self._recoverers[weights] = Recoverer(self.plan.body, device=self.plan.device, weights=weights)
        except HumeshError as error:
            raise RunError(str(error)) from None
        recoverer = self._recoverers[weights]
        result = recover_video(given, recoverer=recoverer) if is_video else recoverer(given)
        known = VIDEO_FORMATS if is_video else PHOTO_FORMATS
        formats, files = [name for name in self.plan.formats if name in known], []
        for path in result.save(folder / "made" / f"{given.stem[:80]}_{_digest(name)[:8]}", formats) if formats else []:
            files.append(f"files/{path.name}")
            write(self.system[0], f"{self.system[1]}/files/{path.name}", path.read_bytes())
        about = {"input": name, "status": "done", "message": " ".join(result.notes), "method": result.method}
        rows = list(_of_photo(result) if isinstance(result, Result) else _of_video(result))
        people = {"people": len(rows), "files": files}
        return [about | people | row for row in rows] or [about | people]


def _of_photo(result: Result) -> Iterator[dict[str, Any]]:
    joints, errors = result.bodies.joints, result.expected_error_m
    for number, person in enumerate(result.people):
        pose = result.pose.map(itemgetter(slice(number, number + 1)))
        yield _of_person(number, person.score, result.photo.size, result.photo.camera, pose, joints[number]) | {
            "box_xyxy": _flat(person.box),
            "expected_error_m": [] if errors is None else _flat(errors[number]),
        }


def _of_video(result: VideoResult) -> Iterator[dict[str, Any]]:
    for motion in result.tracks:
        joints = result.body.joints(motion.pose)
        yield _of_person(motion.track, motion.score, result.size, result.camera, motion.pose, joints) | {
            "times_s": _flat(result.times[motion.frames])
        }


def _of_person(
    number: int, score: float, size: tuple[int, int], camera: Camera, pose: BodyPose, joints: Tensor
) -> dict[str, Any]:
    return {
        "person": number,
        "score": score,
        "width": size[0],
        "height": size[1],
        "focal_px": float(camera.focal_px),
        "times_s": [],
        "box_xyxy": [],
        "translation_m": _flat(pose.translation),
        "pose_axis_angle": _flat(rotation_to_axis_angle(pose.rotations)),
        "betas": _flat(pose.shape[0]),
        "joints_xyz_m": _flat(joints),
        "expected_error_m": [],
    }


def _flat(values: Any) -> list[float]:
    return list(np.asarray(values, dtype=np.float32).ravel().tolist())


def _failed(name: str, message: str) -> dict[str, Any]:
    return {"input": name, "status": "failed", "message": message, "people": 0}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def run(
    inputs: list[str],
    plan: Plan,
    workers: int | None = None,
    threads: int = 1,
    gpus: float = 0.0,
    at_once: int = 8,
    report: Callable[[Metrics, list[dict[str, Any]]], None] = lambda metrics, rows: None,
    worker: type[Worker] = Worker,
) -> Metrics:
    """Works on the inputs that are not done on the Ray that this process is connected to; writes `out`/rows/*.parquet.

    `workers`: actors (default: one for each `threads` cores of the cluster, or for each of its GPUs); `at_once`: inputs
    that a worker gets together, after which their rows are written. `report` is called after each of these. Raises
    RunError for what is no input's fault.
    """
    import ray

    clear_scratch()
    system, out = file_system(plan.out)
    done, metrics = finished(plan.out), Metrics()
    left = [name for name in inputs if name not in done]
    if not left:
        return metrics
    resources = ray.cluster_resources()
    if workers is None:
        share = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1) / threads
        workers = max(1, int(share))
    blocks = -(-len(left) // at_once)
    dataset = ray.data.from_items([{"input": name} for name in left], override_num_blocks=blocks).map_batches(
        worker,
        fn_constructor_args=(plan, threads),
        batch_size=at_once,
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=0 if gpus else threads,
        num_gpus=gpus or None,
        batch_format="numpy",
    )
    batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    for table in batches:
        if stopped := table.filter(pc.equal(table["status"], _STOPPED))["message"].to_pylist():
            raise RunError(stopped[0])
        new = table.filter(pc.invert(pc.is_in(table["input"], pa.array(sorted(done), pa.string()))))
        if not len(new):  # a worker that died had handed it over before
            continue
        sink = io.BytesIO()
        parquet.write_table(new.cast(SCHEMA), sink)
        write(system, f"{out}/rows/{uuid.uuid4().hex}.parquet", sink.getvalue())
        rows = new.select(["input", "status", "message", "people"]).to_pylist()
        names = {row["input"] for row in rows}
        done |= names
        metrics.inputs += len(names)
        metrics.people += sum(row["people"] > 0 for row in rows)
        metrics.failed += sum(row["status"] == "failed" for row in rows)
        report(metrics, rows)
    clear_scratch()
    return metrics
