"""Times what the README says about speed: medians on this machine, as ratios against peers in the same run.

Run: python benchmarks/speed.py [--photo FILE], or --device cuda for a GPU alone.
Peers: skinning as the smplx package arranges it, written out here, and
the package body-models where it is installed (it needs numpy 2, so an environment without MediaPipe; the photo is then
left out).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humesh.body.files import read_body
from humesh.body.joints import SMPL24
from humesh.body.kinematics import inverse_kinematics
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.rotations import rotation_from_axis_angle


def median_ms(*works: Callable[[], object], runs: int = 30) -> list[float]:
    """Median milliseconds of each work; they take turns, so that a slow moment of the machine meets all of them."""
    times: list[list[float]] = [[] for _ in works]
    for run in range(runs + 3):
        for work, measured in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if run >= 3:
                measured.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(measured) for measured in times]


def smplx_style() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Skinning as the smplx package arranges it: joints one after the other, 4x4 matrices for each vertex."""
    data = read_body("open")
    template, shapes = torch.tensor(data.template).float(), torch.tensor(data.shape_directions).float()
    regressor, weights = torch.tensor(data.joint_regressor).float(), torch.tensor(data.weights).float()

    def skin(rotations: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        batch = len(shape)
        rest = template + torch.einsum("bl,mkl->bmk", shape, shapes)
        joints = torch.einsum("bik,ji->bjk", rest, regressor)
        parents = list(SMPL24.parents)
        relative = joints.clone()
        relative[:, 1:] -= joints[:, parents[1:]]
        matrices = torch.cat(
            [
                torch.nn.functional.pad(rotations, [0, 0, 0, 1]),
                torch.nn.functional.pad(relative, [0, 1], value=1)[..., None],
            ],
            dim=-1,
        )
        chain = [matrices[:, 0]]
        for joint in range(1, len(parents)):
            chain.append(chain[parents[joint]] @ matrices[:, joint])
        world = torch.stack(chain, dim=1)
        homogeneous = torch.nn.functional.pad(joints, [0, 1])[..., None]
        moves = world - torch.nn.functional.pad(world @ homogeneous, [3, 0])
        blend = (weights.expand(batch, -1, -1) @ moves.view(batch, 24, 16)).view(batch, -1, 4, 4)
        points = torch.nn.functional.pad(rest, [0, 1], value=1)[..., None]
        return (blend @ points)[:, :, :3, 0]

    return skin


def skinning(batch: int = 16) -> None:
    """Skinning of full-size bodies against smplx-style code, and with pose correctives against body-models."""
    data = read_body("open")
    # The open body has no pose correctives; body-models always computes them, so it meets humesh with made-up ones.
    bends = 1e-3 * np.random.default_rng(0).normal(size=(len(data.template), 3, 207))
    plain, bending = BodyModel(data), BodyModel(replace(data, pose_directions=bends))
    rotations = rotation_from_axis_angle(0.3 * torch.randn(batch, 24, 3))
    pose = BodyPose(rotations, torch.randn(batch, 10), torch.zeros(batch, 3))
    peer = smplx_style()
    contests: list[tuple[str, Callable[[], torch.Tensor], Callable[[], torch.Tensor]]] = [
        ("smplx-style", lambda: plain(pose).vertices, lambda: peer(rotations, pose.shape))
    ]
    if (other := _body_models(pose, bends)) is not None:
        contests.append(("body-models", lambda: bending(pose).vertices, other))
    for name, ours, theirs in contests:
        with torch.no_grad():
            difference = (ours() - theirs()).abs().max()
            assert difference < 1e-4, f"{name}: {difference}"
            mine, peers = median_ms(ours, theirs)
        what = f"skinning {batch} bodies of {len(data.template)} vertices"
        print(f"{what}: humesh {mine:.1f} ms, {name} {peers:.1f} ms, ratio {mine / peers:.2f}")


def _body_models(pose: BodyPose, bends: np.ndarray) -> Callable[[], torch.Tensor] | None:
    """body-models' SMPL on our arrays, or None where the package is missing."""
    try:
        from body_models.smpl.torch import SMPL
    except ImportError:
        print("body-models is not installed (it needs numpy 2): no ratio against it")
        return None
    data = read_body("open")
    parents = np.array(SMPL24.parents)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SMPL_NEUTRAL.npz"
        np.savez(
            path,
            v_template=data.template,
            shapedirs=data.shape_directions,
            posedirs=bends,
            J_regressor=data.joint_regressor,
            weights=data.weights,
            f=data.faces,
            kintree_table=np.stack([parents, np.arange(24)]),
        )
        model = SMPL(model_path=path, rotation_type="rotmat")
    return lambda: model.forward_vertices(
        pose.rotations[:, 1:],
        pelvis_rotation=pose.rotations[:, 0],
        shape=pose.shape,
        global_translation=pose.translation,
    )


def kinematics(count: int = 1000) -> None:
    """Analytic inverse kinematics of many skeletons."""
    rest = BodyModel.load("open").rest_joints(torch.zeros(count, 10))
    target, twist = rest + 0.02 * torch.randn_like(rest), torch.randn(count, 23, 2)
    (milliseconds,) = median_ms(lambda: inverse_kinematics(target, rest, twist))
    print(f"inverse kinematics of {count} skeletons  {milliseconds:.1f} ms")


def photo(path: Path | None) -> None:
    """A 1280 px photo with one person, file in, default files out, in a process of its own for its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            from skimage.data import camera

            path = Path(folder) / "camera.png"
            Image.fromarray(camera()).resize((1280, 1280)).save(path)
        told = subprocess.run([sys.executable, __file__, "--child", str(path), folder], capture_output=True, text=True)
        if told.returncode:
            raise SystemExit(told.stderr)
        result = json.loads(told.stdout.splitlines()[-1])
    print(f"{path.name}, {result['size']} px, {result['people']} person(s), after start-up:")
    for step, seconds in result["median_s"].items():
        print(f"  {step:24} {1e3 * seconds:7.0f} ms")
    print(f"  start-up {result['start_s']:.1f} s, peak memory {result['peak_mb']:.0f} MB")


def photo_child(path: str, folder: str) -> None:
    """What `photo` measures."""
    start = time.perf_counter()
    import humesh
    from humesh.media.photo import Photo

    recoverer = humesh.Recoverer()
    recovery = recoverer(path)
    recovery.save(f"{folder}/warm", ("jpg", "glb", "json"))
    start_s = time.perf_counter() - start
    steps: dict[str, list[float]] = {}

    def measured(step: str, work: Callable[[], object]) -> object:
        begin = time.perf_counter()
        result = work()
        steps.setdefault(step, []).append(time.perf_counter() - begin)
        return result

    for _ in range(7):
        begin = time.perf_counter()
        image = measured("read", lambda: Photo.read(path))
        people = measured("find people", lambda: recoverer.finder(image))  # noqa: B023
        recovery = measured("pose bodies", lambda: recoverer(image, people))  # noqa: B023
        for name in ("jpg", "glb", "json"):
            measured(f"write {name}", lambda: recovery.save(f"{folder}/out", (name,)))  # noqa: B023
        steps.setdefault("all", []).append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    medians = {step: statistics.median(times) for step, times in steps.items()}
    size = "x".join(map(str, recovery.photo.size))
    told = {"median_s": medians, "start_s": start_s, "peak_mb": peak, "people": len(recovery.people), "size": size}
    print(json.dumps(told))


def on_device(name: str, frames: int = 100) -> None:
    """Frames a second of the fit of a video for 1, 5 and 20 people, and vertices' distances from the CPU's."""
    from humesh.body.joints import MEDIAPIPE33
    from humesh.body.model import Rig
    from humesh.geometry.camera import Camera
    from humesh.people.person import Person
    from humesh.recover import Recoverer, device_named

    body, camera, size = BodyModel.load("open"), Camera.virtual(1100.0, (1280, 720)), (1280, 720)
    devices = list(dict.fromkeys((device_named(name), torch.device("cpu"))))
    recoverers = [Recoverer(body, device=str(device)) for device in devices]
    rig, _ = Rig.of(body, MEDIAPIPE33)
    for people in (1, 5, 20):
        count = people * frames
        place = torch.tensor([0.0, 0.0, 4.0]) + 0.3 * torch.randn(count, 3)
        pose = BodyPose(rotation_from_axis_angle(0.3 * torch.randn(count, 24, 3)), torch.zeros(count, 10), place)
        points, _ = rig.points(body, pose.map(torch.Tensor.double))
        keypoints = torch.cat([camera.project(points), torch.ones(count, 33, 1)], dim=-1)
        found = [
            Person(np.array([*k[:, :2].amin(0), *k[:, :2].amax(0)]), 1.0, k.numpy(), MEDIAPIPE33, p.numpy())
            for k, p in zip(keypoints, points, strict=True)
        ]
        vertices = []
        for device, recoverer in zip(devices, recoverers, strict=True):
            step = recoverer.batching.people
            for part in (found[:step], found):  # the first to warm up
                start, done = time.perf_counter(), []
                for first in range(0, len(part), step):
                    some = part[first : first + step]
                    begin = pose.map(lambda tensor: tensor[first : first + len(some)])  # noqa: B023
                    done.append(recoverer.fitted(begin, some, camera, size))
                seconds = time.perf_counter() - start
            vertices.append(torch.cat([body(some).vertices for some in done]))
            print(f"{device}: fit of {people} people: {frames / seconds:.1f} frames a second")
        far = 1e3 * (vertices[0] - vertices[-1]).norm(dim=-1).max()
        print(f"  largest distance from the CPU's vertices: {far:.3f} mm")


def main() -> None:
    """Everything, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a photo of your own; default scikit-image's camera at 1280 px")
    parser.add_argument("--device", help="measure only the fit of a video's people there, against the CPU")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        photo_child(*arguments.child)
        return
    torch.manual_seed(0)
    if arguments.device:
        on_device(arguments.device)
        return
    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), platform.processor()
    )
    print(f"{cpu.split(':')[-1].strip()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    skinning()
    kinematics()
    if importlib.util.find_spec("body_models") is None:
        photo(arguments.photo)


if __name__ == "__main__":
    main()
