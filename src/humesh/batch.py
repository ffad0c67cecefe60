"""Folders, lists and buckets of photos and videos on Ray Data: a Parquet row for each person, files for each input.

The driver lists the inputs and writes rows as batches of inputs come back; workers are actors that hold the networks,
one for each share of the machine. An input is done when all of its rows are in a Parquet file, so a stopped run goes on
with the rest; an input that fails gets one row with its sentence, as does one that killed its worker several times.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humesh.errors import BatchError, HumeshError, MissingPackageError
from humesh.media.kinds import kind_of

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as pads
    from pyarrow import fs, parquet
except ImportError:  # pragma: no cover
    raise MissingPackageError('batches need the packages ray and pyarrow; run: pip install "humesh[ray]"') from None

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_MAGIC = re.compile(r"[*?\[]")
_MOST_DEATHS = 3  # of its worker that an input may cause

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
    """How far a run is."""

    inputs: int = 0
    people: int = 0
    failed: int = 0


def file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address or a local path (pyarrow's, else fsspec's), and the path in it."""
    if not _ADDRESS.match(uri):
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    try:
        return fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, ValueError, OSError):
        try:
            import fsspec

            found = fsspec.filesystem(uri.partition("://")[0].lower())
        except (ImportError, ValueError) as error:
            raise BatchError(f"{uri}: expected an address that pyarrow or fsspec opens ({error}).") from None
        return fs.PyFileSystem(fs.FSSpecHandler(found)), str(found._strip_protocol(uri))


def listed(named: Iterable[str], endings: frozenset[str]) -> list[str]:
    """The inputs that folders (with what is below them), patterns, lists (@file) and files name, each once.

    Of folders and patterns the files with one of the endings. Raises BatchError where nothing is there.
    """
    found: dict[str, None] = {}
    for name in named:
        if name.startswith("@"):
            system, path = file_system(name[1:])
            with system.open_input_stream(path) as stream:
                lines = stream.read().decode().splitlines()
            some = [line.strip() for line in lines if line.strip()]
        else:
            some = list(_below(name, endings))
        if not some:
            raise BatchError(f"{name}: expected photos or videos, found none.")
        found.update(dict.fromkeys(some))
    if not found:
        raise BatchError("expected a folder, pattern, list or address of photos and videos, got none.")
    return list(found)


def _below(name: str, endings: frozenset[str]) -> Iterator[str]:
    system, path = file_system(name)
    magic = _MAGIC.search(path)
    base = path[: path.rfind("/", 0, magic.start())] or "/" if magic else path
    info = system.get_file_info(base)
    prefix = name[: len(name) - len(path)] if _ADDRESS.match(name) and name.endswith(path) else ""
    if info.type == fs.FileType.NotFound:
        raise BatchError(f"{name}: expected a file, a folder or a pattern, found nothing.")
    if info.type == fs.FileType.File:
        yield name
        return
    for each in sorted(system.get_file_info(fs.FileSelector(base, recursive=True)), key=lambda one: one.path):
        hidden = any(part.startswith(".") for part in each.path[len(base) :].split("/") if part)
        wanted = fnmatch.fnmatch(each.path, path) if magic else Path(each.path).suffix.lower() in endings
        if each.type == fs.FileType.File and wanted and not hidden:
            yield prefix + each.path


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
        import torch

        from humesh.recover import DEFAULT, IN_VIDEOS, Recoverer

        torch.set_num_threads(threads)
        self.plan, self.system = plan, file_system(plan.out)
        self._recoverers: dict[str, Any] = {}
        self._make = lambda video: Recoverer(
            plan.body, device=plan.device, weights=plan.weights or (IN_VIDEOS if video else DEFAULT)
        )

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        """Rows of all inputs of a batch."""
        names = [str(name) for name in batch["input"]]
        system, out = self.system
        journal = f"{out}/attempts/{_digest(names[0])}.json"  # which input was worked on when a worker died
        attempts = _read_json(system, journal)
        rows: list[dict[str, Any]] = []
        for name in names:
            attempts[name] = attempts.get(name, 0) + 1
            if attempts[name] > _MOST_DEATHS:
                rows.append(_failed(name, f"{name}: its worker died {_MOST_DEATHS} times; the file may be damaged."))
                continue
            _write(system, journal, json.dumps(attempts).encode())
            rows += self._rows(name)
            attempts[name] = 0  # it lets its worker live
        system.delete_file(journal)
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _rows(self, name: str) -> list[dict[str, Any]]:
        """An input's rows; what goes wrong with it becomes its row."""
        try:
            system, path = file_system(name)
            with tempfile.TemporaryDirectory(prefix="humesh-batch-") as folder:
                given = Path(folder) / (Path(path).name or "input")
                if isinstance(system, fs.LocalFileSystem):
                    given = Path(path)
                else:
                    with system.open_input_stream(path) as stream, open(given, "wb") as file:
                        while block := stream.read(2**22):
                            file.write(block)
                return self._recovered(name, given, Path(folder))
        except HumeshError as error:
            return [_failed(name, str(error))]
        except OSError as error:
            return [_failed(name, f"{name}: cannot be read ({error.strerror or error}).")]
        except Exception as error:  # a bug on one input must not end a million others
            return [_failed(name, f"{name}: this is a bug in humesh ({type(error).__name__}: {error}).")]

    def _recovered(self, name: str, given: Path, folder: Path) -> list[dict[str, Any]]:
        from humesh.recover_video import recover_video
        from humesh.scene.export import PHOTO_FORMATS, VIDEO_FORMATS

        kind = "video" if kind_of(given) == "video" else "photo"
        if kind not in self._recoverers:
            self._recoverers[kind] = self._make(kind == "video")
        recoverer = self._recoverers[kind]
        result = recoverer(given) if kind == "photo" else recover_video(given, recoverer=recoverer)
        known = PHOTO_FORMATS if kind == "photo" else VIDEO_FORMATS
        formats = [name for name in self.plan.formats if name in known]
        files = []
        if formats:
            made = folder / "made"
            for path in result.save(made / f"{given.stem[:80]}_{_digest(name)[:8]}", formats):
                files.append(f"files/{path.name}")
                _write(self.system[0], f"{self.system[1]}/files/{path.name}", path.read_bytes())
        about = {"input": name, "status": "done", "message": " ".join(result.notes), "method": result.method}
        rows = list(_of_photo(result) if kind == "photo" else _of_video(result))
        people = {"people": len(rows), "files": files}
        return [about | people | row for row in rows] or [about | people]


def _of_photo(result: Any) -> Iterator[dict[str, Any]]:
    from humesh.geometry.rotations import rotation_to_axis_angle

    width, height = result.photo.size
    errors = result.expected_error_m
    for number, person in enumerate(result.people):
        yield {
            "person": number,
            "score": person.score,
            "width": width,
            "height": height,
            "focal_px": float(result.photo.camera.focal_px),
            "times_s": [],
            "box_xyxy": _flat(person.box),
            "translation_m": _flat(result.pose.translation[number]),
            "pose_axis_angle": _flat(rotation_to_axis_angle(result.pose.rotations[number])),
            "betas": _flat(result.pose.shape[number]),
            "joints_xyz_m": _flat(result.bodies.joints[number]),
            "expected_error_m": [] if errors is None else _flat(errors[number]),
        }


def _of_video(result: Any) -> Iterator[dict[str, Any]]:
    from humesh.geometry.rotations import rotation_to_axis_angle

    width, height = result.size
    for motion in result.tracks:
        yield {
            "person": motion.track,
            "score": motion.score,
            "width": width,
            "height": height,
            "focal_px": float(result.camera.focal_px),
            "times_s": _flat(result.times[motion.frames]),
            "box_xyxy": [],
            "translation_m": _flat(motion.pose.translation),
            "pose_axis_angle": _flat(rotation_to_axis_angle(motion.pose.rotations)),
            "betas": _flat(motion.pose.shape[0]),
            "joints_xyz_m": _flat(result.body.joints(motion.pose)),
            "expected_error_m": [],
        }


def _flat(values: Any) -> list[float]:
    flat: list[float] = np.asarray(values, dtype=np.float32).ravel().tolist()
    return flat


def _failed(name: str, message: str) -> dict[str, Any]:
    return {"input": name, "status": "failed", "message": message, "people": 0}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _read_json(system: fs.FileSystem, path: str) -> dict[str, int]:
    try:
        with system.open_input_stream(path) as stream:
            return dict(json.loads(stream.read()))
    except (OSError, ValueError):
        return {}


def _write(system: fs.FileSystem, path: str, data: bytes) -> None:
    """Writes a file that appears when it is complete (object stores write them so by themselves)."""
    system.create_dir(path.rpartition("/")[0], recursive=True)
    draft = f"{path}.{uuid.uuid4().hex}.part" if isinstance(system, fs.LocalFileSystem) else path
    with system.open_output_stream(draft) as stream:
        stream.write(data)
    if draft != path:
        system.move(draft, path)


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
    that a worker gets together, after which their rows are written. `report` is called after each of these.
    """
    import ray

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
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        new = table.filter(pc.invert(pc.is_in(table["input"], pa.array(sorted(done), pa.string()))))
        if not len(new):  # a worker that died had handed it over before
            continue
        sink = io.BytesIO()
        parquet.write_table(new.cast(SCHEMA), sink)
        _write(system, f"{out}/rows/{uuid.uuid4().hex}.parquet", sink.getvalue())
        rows = new.select(["input", "status", "message", "people"]).to_pylist()
        names = {row["input"] for row in rows}
        done |= names
        metrics.inputs += len(names)
        metrics.people += sum(row["people"] > 0 for row in rows)
        metrics.failed += sum(row["status"] == "failed" for row in rows)
        report(metrics, rows)
    return metrics
