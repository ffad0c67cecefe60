"""The networks' files: missing and damaged ones are reported, and only the outputs asked for are computed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.people import networks as module
from humesh.people.finder import PeopleFinder
from humesh.people.networks import NETWORKS, MissingNetworkError, missing_networks, network


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    module.network.cache_clear()
    yield
    module.network.cache_clear()


@pytest.mark.usefixtures("nothing_built")
def test_a_lacking_network_is_reported_in_a_sentence(tmp_path: Path) -> None:
    assert missing_networks() == list(NETWORKS)
    sentence = r"pose_landmark_(full|heavy).onnx: expected a network that finds people; .* Install humesh again"
    for fast in (True, False):
        with pytest.raises(MissingNetworkError, match=sentence):
            PeopleFinder(fast=fast)
    (tmp_path / "movenet_multipose.onnx").touch()
    assert missing_networks() == [name for name in NETWORKS if name != "movenet_multipose"]


def test_the_networks_take_batches_and_give_what_is_asked_for(networks: None) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    both = network("pose_landmark_full", "cpu")(pixels, "score", "points")
    assert [part.shape for part in both] == [(2, 1), (2, 195)]
    (points,) = network("pose_landmark_full", "cpu")(pixels[1:], "points")
    np.testing.assert_allclose(points[0], both[1][1], atol=1e-3)
    assert network("pose_landmark_full", "cpu") is network("pose_landmark_full", "cpu")


@pytest.mark.usefixtures("nothing_built")
@pytest.mark.parametrize("content", [b"", bytes(1000), b"ONNX"])
def test_a_damaged_network_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "movenet_thunder.onnx").write_bytes(content)
    with pytest.raises(MissingNetworkError, match=r"movenet_thunder.onnx: .* damaged file; install humesh again"):
        network("movenet_thunder", "cpu")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_forked_processes_find_the_same_people(finder: PeopleFinder, one_rendered: np.ndarray) -> None:
    """While another thread of the parent is busy, too: what that thread holds is held for ever in the child."""
    photo, sessions = Photo(one_rendered, Camera.guess((240, 525))), [network(name, "cpu") for name in NETWORKS]
    here = [person.box.tolist() for person in finder(photo)]
    assert len(here) == 1
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            network("movenet_multipose", "cpu")(np.zeros((1, 256, 256, 3), np.uint8), "people")

    def find(answers: multiprocessing.connection.Connection) -> None:
        assert not any(network(name, "cpu") is session for name, session in zip(NETWORKS, sessions, strict=True))
        answers.send([person.box.tolist() for person in finder(photo)])

    fork = multiprocessing.get_context("fork")
    other = threading.Thread(target=busy)
    other.start()
    try:
        receive, send = fork.Pipe(duplex=False)
        child = fork.Process(target=find, args=(send,))
        child.start()
        send.close()
        found = receive.recv() if receive.poll(60) else "it hangs"
        child.kill()
        child.join()
        assert found == here
    finally:
        stop.set()
        other.join()


def test_finders_made_at_once_leave_the_standard_error_alone(networks: None) -> None:
    before = os.fstat(2)
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(PeopleFinder, workers=1) for _ in range(8)]:
            made.result()
    assert os.path.samestat(before, os.fstat(2))


def test_the_gpu_is_used_where_the_runtime_can_and_else_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not PeopleFinder(fast=True).notes
    used: list[list[Any]] = []
    make = onnxruntime.InferenceSession

    def session(path: Path, options: Any, providers: list[Any]) -> Any:
        used.append(providers)
        return make(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    (note,) = PeopleFinder(fast=True, device="cuda:1").notes
    assert "onnxruntime-gpu" in note
    assert not used  # the CPU's networks are loaded already
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    finder = PeopleFinder(fast=True, device="cuda:1")
    assert not finder.notes
    assert [providers[0] for providers in used] == 3 * [("CUDAExecutionProvider", {"device_id": 1})]
    shot = Photo.of(np.zeros((64, 64, 3), np.uint8))
    assert finder(shot) == []
    finder.landmarks(shot, np.array([[5.0, 5, 60, 60]]))
    assert len(used) == 3  # all passes run on the networks of that GPU
