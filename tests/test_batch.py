"""Many inputs on a real Ray: nothing lost, nothing twice, broken ones named, workers that die, two nodes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import camera

ray = pytest.importorskip("ray")
pads = pytest.importorskip("pyarrow.dataset")

from humesh import batch  # noqa: E402
from humesh.batch import Metrics, Plan, Worker, finished, run  # noqa: E402
from humesh.batch_files import clear_scratch, file_system, listed, scratch_folder  # noqa: E402
from humesh.commands.batch import batch as command  # noqa: E402
from humesh.commands.errors import UserError  # noqa: E402
from humesh.errors import BatchError, HumeshError, RunError  # noqa: E402

ENDINGS = frozenset({".jpg", ".mp4"})

pytestmark = pytest.mark.xdist_group("ray")  # one after the other: a Ray takes all cores


class Quick(Worker):
    """Recovers nothing: two people in every photo; "bad" ones are refused, "deadly" ones end the process."""

    def __init__(self, plan: Plan, threads: int) -> None:
        self.plan, self.system = plan, file_system(plan.out)

    def _recovered(self, name: str, given: Path, folder: Path) -> list[dict[str, Any]]:
        if "bad" in name:
            raise HumeshError(f"photo {given}: expected an image, it is none.")
        once = Path(self.plan.out).parent / f"{Path(name).stem}.died"
        if "deadly" in name or ("fatal" in name and not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        node = ray.get_runtime_context().get_node_id()
        about = {"input": name, "status": "done", "people": 2, "method": node}
        return [about | {"person": person, "score": 0.5} for person in range(2)]


@pytest.fixture(scope="module")
def local() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def _files(folder: Path, names: list[str]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return [str(folder / name) for name in names]


def _rows(out: Path) -> list[dict[str, Any]]:
    return pads.dataset(str(out / "rows"), schema=batch.SCHEMA).to_table().to_pylist()


@pytest.mark.usefixtures("local")
def test_two_hundred_photos_with_broken_ones_and_dying_workers(tmp_path: Path) -> None:
    """Every input once, with its rows; one that kills its worker once is done again, one that always does is named.

    No temporary folder of a killed worker stays.
    """
    folders = set(Path(tempfile.gettempdir()).glob("humesh-batch-*"))
    names = [f"{number:03}.jpg" for number in range(192)]
    names += [f"bad{number}.jpg" for number in range(5)] + ["fatal0.jpg", "fatal1.jpg", "deadly.jpg"]
    inputs, reports = _files(tmp_path / "in", names), list[tuple[int, list]]()
    metrics = run(
        inputs, Plan(str(tmp_path / "out")), at_once=10, worker=Quick,
        report=lambda metrics, rows: reports.append((metrics.inputs, rows)),
    )  # fmt: skip
    assert metrics == Metrics(inputs=200, people=388, failed=6)
    rows = _rows(tmp_path / "out")
    whole = [(row["input"], row["person"]) for row in rows if row["status"] == "done"]
    assert len(whole) == len(set(whole)) == 388
    assert {row["input"] for row in rows} == set(inputs)
    failed = {Path(row["input"]).name: row["message"] for row in rows if row["status"] == "failed"}
    assert set(failed) == {*(f"bad{number}.jpg" for number in range(5)), "deadly.jpg"}
    assert "expected an image, it is none" in failed["bad0.jpg"]
    assert "its worker died 3 times" in failed["deadly.jpg"]
    assert reports[-1][0] == 200
    assert not list((tmp_path / "out/attempts").iterdir())
    assert set(Path(tempfile.gettempdir()).glob("humesh-batch-*")) <= folders


@pytest.mark.usefixtures("local")
def test_a_stopped_run_goes_on_with_the_rest(tmp_path: Path) -> None:
    inputs = _files(tmp_path / "in", [f"{number}.jpg" for number in range(12)])
    out = Plan(str(tmp_path / "out"))

    class StopError(Exception):
        pass

    def stop(metrics: Metrics, rows: list) -> None:
        raise StopError

    with pytest.raises(StopError):
        run(inputs, out, workers=1, at_once=3, worker=Quick, report=stop)
    done = finished(out.out)
    assert 3 <= len(done) < 12
    metrics = run(inputs, out, workers=1, at_once=3, worker=Quick)
    assert metrics.inputs == 12 - len(done)
    rows = [(row["input"], row["person"]) for row in _rows(tmp_path / "out")]
    assert len(rows) == len(set(rows)) == 24
    assert run(inputs, out, worker=Quick).inputs == 0


def test_an_input_of_which_a_row_lacks_is_not_done(tmp_path: Path) -> None:
    rows = [{"input": "a", "status": "done", "people": 2, "person": person} for person in range(2)]
    rows += [{"input": "b", "status": "done", "people": 2, "person": 0}, {"input": "c", "status": "done", "people": 0}]
    (tmp_path / "rows").mkdir()
    batch.parquet.write_table(batch.pa.Table.from_pylist(rows, schema=batch.SCHEMA), tmp_path / "rows/x.parquet")
    (tmp_path / "rows/y.parquet.123.part").write_bytes(b"half a file")
    assert finished(str(tmp_path)) == {"a", "c"}


def test_folders_patterns_lists_and_files(tmp_path: Path) -> None:
    one, two = _files(tmp_path / "a", ["1.jpg", "2.mp4"])
    deep = _files(tmp_path / "a/b", ["3.jpg", "notes.txt"])[0]
    _files(tmp_path / "a/.hidden", ["4.jpg"])
    (tmp_path / "list.txt").write_text(f"{two}\n\n{one}\n")
    assert listed([str(tmp_path / "a")], ENDINGS) == [one, two, deep]
    assert listed([str(tmp_path / "a/*.jpg")], ENDINGS) == [one, deep]
    assert listed([f"@{tmp_path / 'list.txt'}", one], ENDINGS) == [two, one]
    for nothing in (tmp_path / "none", tmp_path / "a/*.png"):
        with pytest.raises(BatchError, match="found"):
            listed([str(nothing)], ENDINGS)


def test_names_that_no_list_of_strings_can_hold_and_brackets(tmp_path: Path) -> None:
    """A name that is not UTF-8 is reported as a failed input; brackets of a name that is there are no pattern."""
    (bracket,) = _files(tmp_path / "in", ["[1] new\nline 名.jpg"])
    try:
        (tmp_path / "in" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("a file system of UTF-8 names only")
    found = listed([str(tmp_path / "in"), bracket], ENDINGS)
    assert found == [bracket, str(tmp_path / "in" / "\\xff.jpg")]
    (row,) = Worker._rows(Quick(Plan(str(tmp_path / "out")), 1), str(tmp_path / "gone" / "bad.jpg"))
    assert row["status"] == "failed"


def test_the_same_file_named_twice_is_one_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are the same for workers in other folders, too."""
    (one,) = _files(tmp_path / "in", ["1.jpg"])
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfin/1.jpg\r\n")
    monkeypatch.chdir(tmp_path)
    assert listed(["in", "in/1.jpg", one, "@list.txt"], ENDINGS) == [one]


def test_results_are_no_inputs(tmp_path: Path) -> None:
    (one,) = _files(tmp_path, ["1.jpg"])
    _files(tmp_path / "files", ["1_overlay.jpg"])
    assert listed([str(tmp_path)], ENDINGS, str(tmp_path)) == [one]


def test_a_list_that_cannot_be_read_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"@.*none\.txt: expected a list of inputs, it cannot be read \(No such file"):
        listed([f"@{tmp_path / 'none.txt'}"], ENDINGS)
    (photo,) = _files(tmp_path, ["1.jpg"])
    Path(photo).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BatchError, match="as UTF-8 text, it is none"):
        listed([f"@{photo}"], ENDINGS)


def test_a_full_disk_is_no_fault_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the run, which can go on later; else a million inputs would be quarantined."""

    def full(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    (photo,) = _files(tmp_path, ["1.jpg"])
    worker = Quick(Plan(str(tmp_path / "out")), 1)
    monkeypatch.setattr(Quick, "_recovered", full)
    (row,) = worker({"input": np.array([photo])}).to_pylist()
    assert row["status"] == "stopped"
    assert "cannot be written (No space left" in row["message"]


def test_networks_that_cannot_be_loaded_end_the_run(tmp_path: Path) -> None:
    """A wrong --weights must not mark every input as failed."""
    Image.fromarray(camera()).save(tmp_path / "man.png")
    worker = Worker(Plan(str(tmp_path / "out"), weights=str(tmp_path / "none.safetensors")), torch.get_num_threads())
    (row,) = worker({"input": np.array([str(tmp_path / "man.png")])}).to_pylist()
    assert row["status"] == "stopped"
    assert "none.safetensors" in row["message"]


@pytest.mark.usefixtures("local")
def test_an_output_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    inputs = _files(tmp_path / "in", ["1.jpg"])
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match=r"^\S*out\S*: cannot be written \([^\n]*\)\.$"):
        run(inputs, Plan(str(tmp_path / "out")), worker=Quick)


def test_readers_of_the_rows_do_not_see_drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed while it writes leaves no file that pyarrow's and pandas' readers take for rows."""
    system, out = file_system(str(tmp_path / "rows"))

    def killed(*arguments: Any) -> None:
        pads.dataset(out, schema=batch.SCHEMA).to_table()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        batch.write(system, f"{out}/x.parquet", b"half")


def test_an_address_of_a_store_is_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's store in memory stands for a bucket."""
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/in/1.jpg", b"x")
    store.pipe("/bucket/in/bad.jpg", b"x")
    inputs = listed(["memory://bucket/in/*.jpg"], ENDINGS)
    assert [name.rpartition("/")[2] for name in inputs] == ["1.jpg", "bad.jpg"]
    monkeypatch.setattr(Quick, "_recovered", lambda self, name, given, folder: [{"input": given.read_bytes().decode()}])
    worker = Quick(Plan("memory://bucket/out"), 1)
    assert worker({"input": np.array(inputs[:1])}).to_pylist()[0]["input"] == "x"
    assert finished("memory://bucket/out") == set()


@pytest.mark.usefixtures("local")
def test_a_photo_with_its_networks(tmp_path: Path) -> None:
    import humesh

    Image.fromarray(camera()).save(tmp_path / "man.png")
    (tmp_path / "text.jpg").write_text("no picture")
    inputs = [str(tmp_path / "man.png"), str(tmp_path / "text.jpg")]
    metrics = run(inputs, Plan(str(tmp_path / "out"), ("glb",)), workers=1)
    assert metrics == Metrics(2, 1, 1)
    (row,) = [row for row in _rows(tmp_path / "out") if row["status"] == "done"]
    wanted = humesh.recover(tmp_path / "man.png")
    assert np.allclose(row["translation_m"], wanted.pose.translation[0], atol=1e-4)
    assert np.allclose(np.reshape(row["joints_xyz_m"], (24, 3)), wanted.bodies.joints[0], atol=1e-4)
    assert len(row["expected_error_m"]) == 24
    (file,) = row["files"]
    assert (tmp_path / "out" / file).read_bytes()[:4] == b"glTF"


def test_a_cluster_that_does_not_answer_is_named_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for minutes, or for ever."""
    _files(tmp_path / "in", ["1.jpg"])
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:none"):
        with pytest.raises(UserError, match=rf"^--ray-address {address}: expected the HOST:PORT of a running cluster"):
            command([str(tmp_path / "in")], str(tmp_path / "out"), ray_address=address)


def test_folders_of_killed_workers_are_cleared_and_those_of_live_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = "import os, signal; from humesh.batch_files import scratch_folder\nwith scratch_folder() as folder:\n"
    program += "    (folder / 'photo.jpg').write_bytes(b'x'); os.kill(os.getpid(), signal.SIGKILL)"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TMPDIR": str(tmp_path),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=False)
    (dead,) = tmp_path.iterdir()
    with scratch_folder() as live:
        clear_scratch()
        assert live.is_dir()
        assert not dead.exists()
    assert not list(tmp_path.iterdir())


TWO_NODES = """
import sys
from ray.cluster_utils import Cluster
import ray
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_batch import Quick, Plan, run
metrics = run([str(path) for path in sorted(Path(sys.argv[2]).iterdir())], Plan(sys.argv[3]), at_once=2, worker=Quick)
print(metrics.inputs)
ray.shutdown()
cluster.shutdown()
"""


def test_two_nodes_share_the_work(tmp_path: Path) -> None:
    _files(tmp_path / "in", [f"{number}.jpg" for number in range(40)])
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *(path for path in sys.path if path)])}
    command = [sys.executable, "-c", TWO_NODES, str(here), str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.stdout.split()[-1:] == ["40"], done.stderr[-2000:]
    rows = _rows(tmp_path / "out")
    assert len(rows) == 80
    assert len({row["method"] for row in rows}) == 2
