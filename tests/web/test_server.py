"""What the page's server lets in, takes and gives; jobs, queues and users, with made-up work."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from humesh.errors import HumeshError
from humesh.web import jobs as module
from humesh.web import server
from humesh.web.jobs import Job, Jobs, Limits, plain_name
from humesh.web.server import Guard, make_app

BASE = "http://127.0.0.1:8080"
SAME = {"origin": BASE}


class Shop:
    """A server whose work waits until it may go on, and copies its input."""

    def __init__(self, limits: Limits) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.jobs = Jobs(self.work, limits)
        self.guard = Guard("127.0.0.1")
        self.app = make_app(self.jobs, self.guard)

    def work(self, job: Job, limits: Limits) -> None:
        assert self.may_go_on.wait(30)
        data = job.input.read_bytes()
        if data == b"bad":
            raise HumeshError(f"photo {job.input}: expected an image, it is none.")
        (job.folder / "copy.bin").write_bytes(data)
        (job.folder / "secret.txt").write_text("not listed")
        job.result = {"overlay": None, "scene": "copy.bin", "picture": None, "files": ["copy.bin"], "people": []}

    def browser(self) -> TestClient:
        """A user's browser that has opened the printed address."""
        client = TestClient(self.app, base_url=BASE)
        assert client.get("/", params={"token": self.guard.token}).status_code == 200
        return client


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop(Limits(megabytes=1))
    yield shop
    shop.may_go_on.set()
    shop.jobs.close()
    assert not shop.jobs.folder.exists()


def _done(client: TestClient, number: str) -> dict:
    for _ in range(2000):
        state = client.get(f"/jobs/{number}").json()
        if state["state"] in ("done", "failed"):
            return state
        threading.Event().wait(0.005)
    raise AssertionError("the job does not end")


def test_a_file_goes_in_and_comes_back(shop: Shop) -> None:
    client = shop.browser()
    job = client.post("/jobs", params={"name": "a b.jpg"}, content=b"pixels", headers=SAME).json()
    state = _done(client, job["id"])
    assert state["state"] == "done"
    assert client.get(f"/jobs/{job['id']}/files/copy.bin").content == b"pixels"
    assert client.delete(f"/jobs/{job['id']}", headers=SAME).status_code == 200
    assert client.get(f"/jobs/{job['id']}").status_code == 404
    assert not list(shop.jobs.folder.iterdir())


def test_a_wrong_file_gets_its_sentence_without_the_servers_paths(shop: Shop) -> None:
    client = shop.browser()
    job = client.post("/jobs", params={"name": "holiday.jpg"}, content=b"bad", headers=SAME).json()
    assert _done(client, job["id"])["message"] == "photo holiday.jpg: expected an image, it is none."


def test_a_fault_of_ours_ends_no_server(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    client = shop.browser()
    monkeypatch.setattr(shop.jobs, "work", lambda job, limits: 1 / 0)
    job = client.post("/jobs", content=b"x", headers=SAME).json()
    assert "ZeroDivisionError" in _done(client, job["id"])["message"]
    monkeypatch.setattr(shop.jobs, "work", shop.work)
    job = client.post("/jobs", content=b"x", headers=SAME).json()
    assert _done(client, job["id"])["state"] == "done"


@pytest.mark.parametrize("notices", [True, False])
def test_work_that_takes_too_long_ends_and_the_next_is_done(
    notices: bool, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it hangs in something that nobody can interrupt."""
    monkeypatch.setattr(module, "_CLOSING_S", 0.05)
    shop.jobs.limits = Limits(work_s=0.1)
    hangs = threading.Event()

    def work(job: Job, limits: Limits) -> None:
        while not hangs.wait(0.01):
            if job.cancelled and notices:
                raise CancelledError

    client = shop.browser()
    monkeypatch.setattr(shop.jobs, "work", work)
    job = client.post("/jobs", params={"name": "long.mp4"}, content=b"x", headers=SAME).json()
    message = _done(client, job["id"])["message"]
    assert message.startswith("long.mp4: expected to be done within 0.00166667 minutes, it takes longer; cut it")
    monkeypatch.setattr(shop.jobs, "work", shop.work)
    shop.jobs.limits = Limits(work_s=30.0)
    job = client.post("/jobs", content=b"x", headers=SAME).json()
    assert _done(client, job["id"])["state"] == "done"
    hangs.set()


def test_the_page_chooses_its_jobs_id_and_can_cancel_before_an_answer(shop: Shop) -> None:
    one, other, chosen = shop.browser(), shop.browser(), {"id": "0123456789abcdef01234567"}
    assert one.post("/jobs", params={"id": "../etc"}, content=b"x", headers=SAME).status_code == 422
    assert one.post("/jobs", params=chosen, content=b"x", headers=SAME).json()["id"] == chosen["id"]
    assert other.post("/jobs", params=chosen, content=b"y", headers=SAME).status_code == 409  # not another one's
    assert one.delete(f"/jobs/{chosen['id']}", headers=SAME).status_code == 200
    assert other.post("/jobs", params=chosen, content=b"y", headers=SAME).status_code == 200


@pytest.mark.parametrize("name", ["secret.txt", "../secret.txt", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "given/file"])
def test_only_listed_files_are_served(shop: Shop, name: str) -> None:
    client = shop.browser()
    job = client.post("/jobs", content=b"x", headers=SAME).json()
    _done(client, job["id"])
    assert client.get(f"/jobs/{job['id']}/files/{name}").status_code == 404
    for path in ("/page/../server.py", "/page/%2e%2e/server.py", "/three/..%2fjobs.py", "/page//etc/passwd"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("../../x.jpg", "x.jpg"),
        ("C:\\a\\b.png", "b.png"),
        ("..", "file"),
        ("", "file"),
        ("a<script>.jpg", "a_script_.jpg"),
        ("a\r\nSet-Cookie: x=1\0.jpg", "a__Set-Cookie_ x_1_.jpg"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("名" * 200 + ".png", "名" * 38 + ".png"),  # no file system takes more than 255 bytes
    ],
)
def test_names_are_those_of_a_file_in_a_folder(name: str, wanted: str) -> None:
    assert plain_name(name) == wanted


def test_nobody_sees_another_users_files(shop: Shop) -> None:
    one, other = shop.browser(), shop.browser()
    job = one.post("/jobs", content=b"x", headers=SAME).json()
    _done(one, job["id"])
    for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/files/copy.bin"):
        assert one.get(path).status_code == 200
        assert other.get(path).status_code == 404
    assert other.delete(f"/jobs/{job['id']}", headers=SAME).status_code == 404
    assert one.get(f"/jobs/{job['id']}").status_code == 200


def test_a_job_a_user_and_the_others_wait_in_turn(shop: Shop) -> None:
    shop.may_go_on.clear()
    clients = [shop.browser() for _ in range(3)]
    jobs = [client.post("/jobs", content=b"x", headers=SAME).json()["id"] for client in clients]
    assert clients[0].post("/jobs", content=b"y", headers=SAME).status_code == 409
    while shop.jobs.state(shop.jobs.jobs[jobs[0]])["state"] != "working":
        threading.Event().wait(0.005)
    states = [client.get(f"/jobs/{job}").json() for client, job in zip(clients, jobs, strict=True)]
    assert [state["ahead"] for state in states] == [0, 1, 2]
    clients[1].delete(f"/jobs/{jobs[1]}", headers=SAME)
    assert clients[2].get(f"/jobs/{jobs[2]}").json()["ahead"] == 1
    shop.may_go_on.set()
    assert _done(clients[2], jobs[2])["state"] == "done"


def test_too_large_a_file_is_refused_as_it_comes_and_leaves_nothing(shop: Shop) -> None:
    client = shop.browser()
    refused = client.post("/jobs", content=b"x" * 1_000_001, headers=SAME)
    assert refused.status_code == 413
    assert "at most 1 MB" in refused.json()["detail"]
    assert not list(shop.jobs.folder.iterdir())
    assert client.post("/jobs", content=b"x" * 1_000_000, headers=SAME).status_code == 200


def _half_upload(shop: Shop, *events: dict[str, Any]) -> int:
    """The status of an upload of which these events come, then nothing more."""
    client, statuses = shop.browser(), list[int]()
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {"host": BASE[7:], "origin": BASE, "cookie": cookies}
    waiting = iter(events)

    async def receive() -> dict[str, Any]:
        event = next(waiting, None)
        if event is None:
            await asyncio.sleep(60)
            raise AssertionError("the server waits for ever")
        if callback := event.pop("then", None):
            callback()
        return event

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http", "method": "POST", "path": "/jobs", "raw_path": b"/jobs", "query_string": b"", "scheme": "http",
        "http_version": "1.1", "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(shop.app(scope, receive, send))
    return statuses[0]


def test_an_upload_that_stalls_ends_and_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_S", 0.05)
    assert _half_upload(shop, {"type": "http.request", "body": b"half", "more_body": True}) == 408
    assert not shop.jobs.jobs
    assert not list(shop.jobs.folder.iterdir())


def test_a_browser_that_goes_away_is_no_error(shop: Shop) -> None:
    half = {"type": "http.request", "body": b"half", "more_body": True}
    assert _half_upload(shop, half, {"type": "http.disconnect"}) == 400
    assert not list(shop.jobs.folder.iterdir())


def test_a_file_cancelled_while_it_comes_is_not_worked_on(shop: Shop) -> None:
    def cancel() -> None:
        (job,) = shop.jobs.jobs.values()
        shop.jobs.remove(job)

    first = {"type": "http.request", "body": b"half", "more_body": True}
    assert (
        _half_upload(shop, first, {"type": "http.request", "body": b"rest", "more_body": True, "then": cancel}) == 409
    )
    job = shop.jobs.begin("somebody", "a.jpg")
    assert job is not None
    shop.jobs.remove(job)
    shop.jobs.enqueue(job)
    assert job.state == "sending"
    assert not shop.jobs.queue


def test_a_disk_that_is_full_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    client = shop.browser()

    def full(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server, "open", full, raising=False)
    refused = client.post("/jobs", content=b"x", headers=SAME)
    assert refused.status_code == 507
    assert "No space left" in refused.json()["detail"]
    assert not list(shop.jobs.folder.iterdir())


def test_the_hour_begins_when_the_work_is_done(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that waits or works for more than an hour is kept, and its results are then to be had for one."""
    shop.may_go_on.clear()
    one, other = shop.browser(), shop.browser()
    ids = [client.post("/jobs", content=b"x", headers=SAME).json()["id"] for client in (one, other)]
    for job in shop.jobs.jobs.values():
        job.since -= 2 * module.KEPT_S
    shop.jobs.forget()
    shop.may_go_on.set()
    for client, number in zip((one, other), ids, strict=True):
        assert _done(client, number)["state"] == "done"
        shop.jobs.forget()
        assert client.get(f"/jobs/{number}/files/copy.bin").content == b"x"
    assert all(time.monotonic() - job.since < 60 for job in shop.jobs.jobs.values())


def test_files_go_after_an_hour(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    client = shop.browser()
    job = client.post("/jobs", content=b"x", headers=SAME).json()
    _done(client, job["id"])
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    shop.jobs.forget()
    assert client.get(f"/jobs/{job['id']}").status_code == 404
    assert not list(shop.jobs.folder.iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
        {"host": "127.0.0.1.evil.example"},
    ],
)
def test_other_sites_are_refused(shop: Shop, headers: dict[str, str]) -> None:
    client = shop.browser()
    assert client.get("/about", headers=headers).status_code == 403
    assert client.post("/jobs", content=b"x", headers=SAME | headers).status_code == 403


def test_a_change_without_an_origin_is_refused(shop: Shop) -> None:
    assert shop.browser().post("/jobs", content=b"x").status_code == 403


def test_the_token_is_asked_for(shop: Shop) -> None:
    stranger = TestClient(shop.app, base_url=BASE)
    page = stranger.get("/")
    assert page.status_code == 403
    assert "token" in page.text
    assert stranger.get("/about", params={"token": "wrong"}).status_code == 403
    assert stranger.post("/jobs", content=b"x", headers=SAME).status_code == 403
    assert stranger.get("/", params={"token": shop.guard.token}).status_code == 200
    assert "token" not in str(stranger.get("/").url)
    away = stranger.get("//evil.example/", params={"token": shop.guard.token}, follow_redirects=False)
    assert away.headers["location"] == "/"
    assert stranger.get("/about").status_code == 200


def test_no_script_of_others_runs_in_the_page(shop: Shop) -> None:
    headers = shop.browser().get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_everywhere_numbers_are_let_in_and_names_of_others_not() -> None:
    guard = Guard("0.0.0.0")
    assert guard.host_is_ours("192.168.1.7:8080")
    assert guard.host_is_ours("[fe80::1]:8080")
    assert not guard.host_is_ours("evil.example:8080")
    assert not Guard("127.0.0.1").host_is_ours("192.168.1.7:8080")


def test_all_parts_of_the_page_are_there(shop: Shop) -> None:
    client = shop.browser()
    for path in ("page/app.js", "page/viewer.js", "page/style.css"):
        assert client.get(f"/{path}").status_code == 200
    if (Path(module.__file__).parent / "three" / "build").is_dir():  # fetched when the wheel is built
        assert client.get("/three/build/three.module.js").status_code == 200


def test_a_single_result_is_shown_and_nothing_else_is_taken(shop: Shop, tmp_path: Path) -> None:
    """`humesh view`: every browser with the token sees the one job."""
    (tmp_path / "clip.glb").write_bytes(b"scene")
    only = Job("", "clip.npz", tmp_path, state="done")
    only.result = {"overlay": None, "scene": "clip.glb", "picture": None, "files": ["clip.glb"], "people": []}
    client = TestClient(make_app(shop.jobs, shop.guard, only), base_url=BASE)
    client.get("/", params={"token": shop.guard.token})
    assert client.get("/about").json() == {"limits": shop.jobs.limits.sentence, "job": only.id, "only": True}
    assert client.get(f"/jobs/{only.id}/files/clip.glb").content == b"scene"
    assert client.post("/jobs", content=b"x", headers=SAME).status_code == 403
    assert client.delete(f"/jobs/{only.id}", headers=SAME).status_code == 200
    assert client.get(f"/jobs/{only.id}").status_code == 200
