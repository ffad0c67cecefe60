"""INT: the whole network, frame by frame and on clips, and the authors' small functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import OPENPOSE25, SMPL24, SPIN24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import cut
from humesh.evaluation.metrics import acceleration, acceleration_error, mpjpe, pa_mpjpe
from humesh.geometry.boxes import affine_apply, square_crop
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d_rows, rotation_from_axis_angle, rotation_to_axis_angle
from humesh.losses import Label, centred
from humesh.methods.int_tokens import IntTokens, int_losses, mixed, resized
from parity.arrays import Arrays, Comparison, Taps, key_list, made_up_state

_READ = 26  # joint, shape and camera tokens in front of the others
_SPIN_AT = len(OPENPOSE25)  # the authors' 49 joints: OpenPose's 25, then SPIN's 24
_HIPS = [_SPIN_AT + i for i in SPIN24.indices("right_hip", "left_hip")]


def check(files: dict[str, Arrays], folder: Path, salt: str, keys: Path | None) -> None:
    """Every comparison of the folder; files other than ops.npz are the network's, with temporal part or without."""
    for name, arrays in files.items():
        if name == "ops":
            _functions(arrays, _state(folder, "state_dict_temporal.json", salt, keys)["temporal_pos_embedding"])
        else:
            clips = "mid/temporal_in/sample" in arrays or "mid/temporal_in" in arrays
            _network(arrays, _state(folder, f"state_dict_{'temporal' if clips else 'base'}.json", salt, keys))


def _state(folder: Path, name: str, salt: str, keys: Path | None) -> dict[str, Tensor]:
    return made_up_state(key_list(folder, name, keys), salt)


@torch.no_grad()
def _network(arrays: Arrays, state: dict[str, Tensor]) -> None:
    """A network built and filled through the key map, and what it and its parts give. Tolerances: README."""
    assert IntTokens.authors_keys is not None
    ours, left = IntTokens.authors_keys.apply(state)
    assert not left, left  # the lists have no arrays of the body model
    network = IntTokens(IntTokens.authors_keys.config(state), BodyModel.load("open")).eval()
    network.load_state_dict(ours, strict=True)

    cnn, depth = "patch_embed.backbone.", len(network.blocks)
    stages = {
        "stem": f"{cnn}stem",
        **{f"stage{i}": f"{cnn}stages.{i}" for i in range(3)},
        "patch_tokens": "patch_embed",
    }
    moving = 0 if network.temporal is None else len(network.temporal.blocks)
    through_time = {f"temporal_block{i}": f"temporal.blocks.{i}" for i in range(moving)}
    ends = ("blocks.0", f"blocks.{depth - 1}", "norm", "joint_head")
    taps = Taps(network, *dict.fromkeys((*stages.values(), *through_time.values(), *ends)))

    pixels = arrays.tensor("x", torch.float32)
    batch, frames = pixels.shape[:2]
    six, shape, weak = (part.flatten(0, 1) for part in network.network(pixels))
    rotations = rotation_from_6d_rows(six).unflatten(0, (batch, frames))
    outputs = {"rot6d": six, "betas": shape, "cam": weak, "rotmat": rotations}
    vectors = rotation_to_axis_angle(rotations).flatten(-2)
    outputs["theta"] = torch.cat(
        [part.unflatten(0, (batch, frames)) for part in (weak, vectors.flatten(0, 1), shape)], -1
    )
    for name, value in outputs.items():
        arrays.compare(f"out/{name}", value, atol=1e-4)

    def compare(name: str, value: Tensor, atol: float = 1e-4) -> None:
        if f"mid/{name}" in arrays or f"mid/{name}/sample" in arrays:  # which ones differs from file to file
            arrays.compare(f"mid/{name}", value, atol=atol)

    for name, part in stages.items():
        compare(name, taps[part], 2e-3)
    # The network's last block makes only the tokens that are read: here all of them, from what came into that block.
    read, last = taps["norm"], network.blocks[-1](taps.inputs[f"blocks.{depth - 1}"][-1][0])
    # These sequences hold the patch tokens, so they are allowed what the README allows those.
    compare("seq_in", taps.inputs["blocks.0"][-1][0], 2e-3)
    compare("block0", taps["blocks.0"], 2e-3)
    compare(f"block{depth - 1}", last, 2e-3)
    compare("norm", network.norm(last), 2e-3)
    tokens = {"joint_tokens": read[:, : _READ - 2], "shape_token": read[:, -2], "cam_token": read[:, -1]}
    for name, value in tokens.items():
        compare(name, value)
    compare("joint_tokens_in_t0", tokens["joint_tokens"].unflatten(0, (batch, frames))[:, 0])
    compare("joint_tokens_out", taps.inputs["joint_head"][-1][0].flatten(0, 1))
    if network.temporal is not None:
        compare("temporal_in", taps.inputs["temporal.blocks.0"][-1][0])
        arrays.compare("mid/temporal_pos_used", resized(network.temporal.position, frames), of_max=1e-6)
    for name, part in through_time.items():
        compare(name, taps[part])


def _functions(arrays: Arrays, code: Tensor) -> None:
    """The small functions; 1e-6 relative unless said."""
    rotations = rotation_from_6d_rows(arrays.tensor("rot6d/in"))
    arrays.compare("rot6d/out", rotations, of_max=1e-6)
    arrays.compare("rotmat2aa/out", rotation_to_axis_angle(rotations), of_max=1e-6)
    arrays.compare("rodrigues/out", rotation_from_axis_angle(arrays.tensor("rodrigues/in")), of_max=1e-6)
    channels = int(arrays.get("temporal_embed/note_first_64_channels"))
    for name in arrays.names("temporal_embed/len"):
        length = int(name.removeprefix("temporal_embed/len"))
        arrays.compare(name, resized(code, length)[0, :, :channels], of_max=1e-6)

    side = 224  # the authors' camera: 5000 px before a crop of this size; the result is in [-1, 1]
    camera = Camera.virtual(5000.0, (side, side))
    shift = camera.translation_from_weak(arrays.tensor("projection/cam", torch.float64), side)
    pixels = camera.project(arrays.tensor("projection/joints", torch.float64) + shift[:, None])
    arrays.compare("projection/out", pixels / (side / 2) - 1, of_max=1e-6)
    _losses(arrays)
    _metrics(arrays)
    _crops(arrays)
    _flips(arrays, side)


def _pose(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations and shape of the authors' 85 numbers: camera, 24 axis-angles, shape."""
    return rotation_from_axis_angle(theta[..., 3:75].unflatten(-1, (len(SMPL24), 3))), theta[..., 75:]


def _losses(arrays: Arrays) -> None:
    """Losses of phase 3 for clips and for images, weighted, and both together by their numbers of frames."""

    def read(name: str) -> Tensor:
        return arrays.tensor(f"loss/{name}", torch.float64)

    weights = {"kp_2d": 300.0, "kp_3d": 600.0, "velocity": 600.0, "pose": 60.0, "shape": 0.06, "norm": 1.0}
    names = {"temp_kp_3d": "velocity"}  # the authors' name: ours
    parts = []
    for kind, full, flat in (("vid", "gt3d", ["gt2d/kp_2d"]), ("img", "gt_img", [])):  # clips without 3D come first
        seen, points, theta = (read(f"pred_{kind}/{part}") for part in ("kp_2d", "kp_3d", "theta"))
        batch, frames = theta.shape[:2]
        truth2d = torch.cat([*map(read, flat), read(f"{full}/kp_2d")]).view(batch, frames, -1, 3)
        without = batch - len(read(f"{full}/kp_3d").view(-1, frames, points.shape[2], 4))

        def led(labels: Tensor, without: int = without) -> Tensor:
            return torch.cat([labels.new_zeros(without, *labels.shape[1:]), labels])

        truth3d = led(read(f"{full}/kp_3d").view(batch - without, frames, -1, 4))
        estimates = (seen, centred(points, *_HIPS), *_pose(theta))
        counted = (torch.arange(batch) >= without)[:, None].expand(batch, frames)
        rotations, shape = _pose(led(read(f"{full}/theta").view(batch - without, frames, -1)))
        fitted, one = (led(read(f"{full}/w_smpl").view(-1, frames)) > 0) & counted, torch.ones(())
        labels = (
            Label(truth2d[..., :2], truth2d[..., 2:], torch.ones_like(counted)[..., None, None]),
            Label(centred(truth3d[..., :3], *_HIPS), truth3d[..., 3:], counted[..., None, None]),
            *(Label(rotations, one, fitted[..., None, None, None]), Label(shape, one, fitted[..., None])),
        )
        kinds = ("kp_2d", "kp_3d", "pose", "shape")
        losses = int_losses(*(dict(zip(kinds, side, strict=True)) for side in (estimates, labels)))
        parts.append((batch * frames, losses))
        for name in (name.partition("loss_")[2] for name in arrays.names(f"loss/out_{kind}/loss_")):
            ours = names.get(name, name)
            arrays.compare(f"loss/out_{kind}/loss_{name}", weights[ours] * losses[ours], of_max=1e-6)
        arrays.compare(f"loss/out_{kind}/total", sum(weights[n] * loss for n, loss in losses.items()), of_max=1e-6)
    merged = sum(weights[name] * loss for name, loss in mixed(parts).items())
    arrays.compare("loss/out_merged_total", merged, of_max=1e-6)


def _metrics(arrays: Arrays) -> None:
    """Per-frame errors of 14 joints of Human3.6M, from the middle of the hips."""
    hips = (2, 3)
    truth, pred = (centred(arrays.tensor(f"metric/{name}", torch.float64), *hips) for name in ("gt", "pred"))
    still = torch.zeros_like(acceleration(pred))
    found = {
        "mpjpe_per_frame": mpjpe(pred, truth),
        "pa_mpjpe_per_frame": pa_mpjpe(pred, truth),
        "accel_err_per_frame": acceleration_error(pred, truth),
        "accel_per_frame": mpjpe(acceleration(pred), still),
    }
    for name, value in found.items():
        arrays.compare(f"metric/{name}", value, of_max=1e-6)


def _crops(arrays: Arrays) -> None:
    """Crops of boxes, resized, turned and shifted. The authors' maps are of pixel centres at integers, ours at halves.

    A turn by their angle is by its opposite in ours; a shift is a fraction of the box before it is resized.
    """
    side = int(arrays.get("crop/patch_size"))
    arrays.note("crop/opencv")  # the version of OpenCV that made the patches, in words
    box, scale, shift = (arrays.tensor(f"crop/{name}", torch.float64) for name in ("bbox_cxcywh", "scale", "shift"))
    half = scale[:, None] * box[:, 2:] / 2
    centre = box[:, :2] + shift * box[:, 2:]
    angle = -arrays.tensor("crop/rot_deg", torch.float64).deg2rad()
    theirs = square_crop(torch.cat([centre - half, centre + half], dim=-1), side, angle=angle)
    arrays.compare("crop/trans", theirs, atol=1e-4)
    points = arrays.tensor("crop/kp_in")
    moved = torch.cat([affine_apply(theirs, points[..., :2]), points[..., 2:]], dim=-1)
    arrays.compare("crop/kp_out", moved, atol=1e-4)
    middle = torch.tensor([[0.5, 0.5]]).double()
    ours = theirs.clone()
    ours[..., 2] += (
        middle - affine_apply(torch.cat([theirs[..., :2], torch.zeros_like(theirs[..., 2:])], -1), middle)
    )[:, 0]
    patches = (cut(arrays.get("crop/image"), ours, (side, side)) * 255).round().permute(0, 2, 3, 1)
    levels = np.abs(patches.numpy() - arrays.get("crop/patch56_u8").astype(np.float64))
    arrays.results.append(Comparison("crop/patch56_u8", float(levels.max()), 1.0))  # allowed: 1 level


def _flips(arrays: Arrays, width: int) -> None:
    """Poses and points in the mirror, but the last joint as the authors leave it, for a slip: it keeps its own turn.

    Poses are compared as matrices: made-up vectors are longer than half a turn, which ours then write the shorter way.
    """
    given, mirrored = (
        rotation_from_axis_angle(arrays.tensor(f"flip/{name}", torch.float64).unflatten(-1, (len(SMPL24), 3)))
        for name in ("pose_in", "pose_out")
    )
    ours = BodyPose(given, given.new_zeros(len(given), 10), given.new_zeros(len(given), 3)).mirrored().rotations
    error = (torch.cat([ours[:, :-1], given[:, -1:]], dim=1) - mirrored).abs().max()
    arrays.results.append(Comparison("flip/pose_out", float(error), 1e-6))
    swapped = [*OPENPOSE25.mirror, *(_SPIN_AT + i for i in SPIN24.mirror)]
    x, rest = arrays.tensor("flip/kp2d_in", torch.float64)[:, swapped].split([1, 2], dim=-1)
    x = width - (x + 0.5) - 0.5  # the middle of the first pixel is at 0.5 in ours, at 0 in theirs
    arrays.compare("flip/kp2d_out_w224", torch.cat([x, rest], dim=-1), of_max=1e-6)
