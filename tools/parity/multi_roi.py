"""Multi-RoI's arrays: both whole networks, their parts, the losses, boxes and labels (README of the parity data)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from humesh.body.joints import H36M17, OPENPOSE25, SMPL24, SPIN24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import group_people
from humesh.evaluation.metrics import pa_mpjpe
from humesh.geometry.boxes import affine_apply, affine_inverse, crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import (
    rotation_about_z,
    rotation_from_6d_rows,
    rotation_from_axis_angle,
    rotation_to_axis_angle,
)
from humesh.losses import Label, centred
from humesh.media.photo import Photo
from humesh.methods.multi_roi import MultiRoiAuthors
from humesh.methods.multi_roi_loss import (
    camera_consistency_authors,
    crop_contrast_authors,
    supervised_losses,
)
from humesh.methods.rois import ROI_COPIES, box_vectors, roi_spec
from humesh.people.person import Person
from parity.arrays import Arrays, Taps, key_list, made_up_state

_ROIS = len(ROI_COPIES)
_RECT = (256, 192)  # height, width px
_OUT = 1e-4  # of the deviation: the README's suggestion for outputs
_MID = 2e-5  # of the deviation: ten times what it observed in features; it names no tolerance for what lies between
_LOSS = 1e-6  # relative: the README's
_NAMES = {"rotmat": 5e-5, "fusion_weights": 2e-6, "weights": 2e-6}  # absolute: the README's


def check(files: dict[str, Arrays], folder: Path, salt: str, keys: Path | None) -> None:
    """Runs every comparison; the weights of networks follow the README's rule."""
    inputs, modules = files["inputs"], files.get("modules")
    for name, arrays in files.items():
        if name in ("inputs", "modules"):
            continue
        network = made_up_network(folder, name, salt, keys)
        check_network(arrays, inputs, network)
        if modules is not None and name == "hr48":
            check_fusion(modules, network)
    inputs.note("img_hw", "roi_cx_cy_b")  # README: "for information"
    if modules is not None:
        if "hr48" not in files:
            check_fusion(modules, made_up_network(folder, "hr48", salt, keys))
        check_cameras(modules)
        check_view_losses(modules)
        check_supervised_losses(modules)
        check_boxes(modules)
        check_labels(modules)


def made_up_network(folder: Path, name: str, salt: str, keys: Path | None) -> MultiRoiAuthors:
    """The authors' network of a key list, with made-up weights that went through the key map."""
    state = made_up_state(key_list(folder, f"state_dict_{name}.json", keys), salt)
    ours, _ = MultiRoiAuthors.authors_keys.apply(state)
    method = MultiRoiAuthors(MultiRoiAuthors.authors_keys.config(state), BodyModel.load("open-low"))
    method.load_state_dict(ours, strict=True)
    return method.eval()


@torch.no_grad()
def check_network(arrays: Arrays, inputs: Arrays, network: MultiRoiAuthors) -> None:
    """A whole network: its outputs, what lies between, and samples of the encoder's maps."""
    pixels = inputs.tensor("x", torch.float32).unflatten(1, (_ROIS, 3))
    boxes = inputs.tensor("bbox_info").unflatten(1, (_ROIS, 3))
    maps = (
        {"stem": "maxpool", **{f"layer{i}": f"layer{i}" for i in (1, 2, 3, 4)}}
        if "mid/layer4/sample" in arrays
        else {"layer1": "net.layer1", **{f"stage{i}": f"net.stage{i}" for i in (2, 3, 4)}}
    )
    taps = Taps(
        network,
        *("encoder", "fusion", "fusion.pair", "fusion.mlp", "regressor"),
        *(f"encoder.{place}" for place in maps.values()),
        *(f"regressor.heads.{head}" for head in network.regressor.heads),
    )
    answer = network.network(pixels, boxes, torch.ones(boxes.shape[:2], dtype=torch.bool))
    known = taps.inputs["regressor"][-1][0].flatten(0, 1)
    features, code, _ = taps.inputs["fusion"][-1]
    between = {
        "features": features.flatten(0, 1),
        "att_logits": taps["fusion.mlp"].flatten(0, 1),
        "fusion_weights": taps["fusion"].flatten(0, 1),
        "fused": known[:, : features.shape[-1]],
        "fuse_fc": taps["fusion.pair"].flatten(0, 1),
        "fc1_in_row0_iter0": torch.cat([known[0], *_starts(network)]),
        **_increments(taps),
    }
    for name, place in maps.items():
        seen = taps[f"encoder.{place}"]
        between.update({f"{name}_branch{i}": x for i, x in enumerate(seen)} if isinstance(seen, list) else {name: seen})
    if "concat" not in between:
        between["concat"] = taps["encoder"]
    arrays.compare("mid/pe", code.flatten(0, 2))  # bit for bit, as the README asks
    for name, value in between.items():
        if f"mid/{name}" in arrays or f"mid/{name}/sample" in arrays:
            _compare(arrays, f"mid/{name}", value, _MID)
    _outputs(arrays, "out/", answer, _OUT)
    arrays.compare("out/pose6d", sum(_estimates(network, taps, "pose")), of_std=_OUT)


@torch.no_grad()
def check_fusion(arrays: Arrays, network: MultiRoiAuthors) -> None:
    """Fusion, regressor and contrastive head on given features instead of the encoder's."""
    arrays.compare("pe/out", network.box_code(arrays.tensor("pe/in")))  # bit for bit
    features = arrays.tensor("fusion/features").unflatten(0, (-1, _ROIS))
    boxes = arrays.tensor("fusion/bbox_info").unflatten(1, (_ROIS, 3))
    encoder, network.encoder = network.encoder, _Given(features)
    taps = Taps(network, "fusion", "fusion.pair", "fusion.mlp", "regressor")
    taps_of_heads = Taps(network, *(f"regressor.heads.{head}" for head in network.regressor.heads))
    pixels = torch.zeros(*features.shape[:2], 3, *_RECT)
    answer = network.network(pixels, boxes, torch.ones(boxes.shape[:2], dtype=torch.bool))
    network.encoder = encoder
    known = taps.inputs["regressor"][-1][0].flatten(0, 1)
    width = features.shape[-1]
    after_one = [
        start + taps_of_heads.calls[f"regressor.heads.{head}"][0].flatten(0, 1)
        for head, start in zip(network.regressor.heads, _starts(network), strict=True)
    ]
    _compare(arrays, "fusion/fuse_fc_out", taps["fusion.pair"].flatten(0, 1), _MID)
    _compare(arrays, "fusion/logits", taps["fusion.mlp"].flatten(0, 1), _MID)
    _compare(arrays, "fusion/weights", taps["fusion"].flatten(0, 1), _MID)
    _compare(arrays, "fusion/fused", known[:, :width], _MID)
    _compare(arrays, "fusion/head_in_iter1", torch.cat([known[:, width:], *after_one], dim=-1), _MID)
    _outputs(arrays, "fusion/", answer, _OUT)


class _Given(torch.nn.Module):
    """An encoder whose maps have given means."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.maps = features.flatten(0, 1)[..., None, None]

    def forward(self, _: Tensor) -> Tensor:
        return self.maps


def _outputs(arrays: Arrays, place: str, answer: object, of_std: float) -> None:
    for name, part in (("rotmat", "rotations"), ("betas", "shape"), ("cam", "weak"), ("z", "z")):
        _compare(arrays, place + name, getattr(answer, part).flatten(0, 1), of_std)


def _compare(arrays: Arrays, name: str, value: Tensor, of_std: float) -> None:
    absolute = _NAMES.get(name.rpartition("/")[2])
    if absolute is None:
        arrays.compare(name, value, of_std=of_std)
    else:
        arrays.compare(name, value, atol=absolute)


def _starts(network: MultiRoiAuthors) -> list[Tensor]:
    return [network.regressor.get_buffer(f"init_{head}")[0] for head in network.regressor.heads]


def _increments(taps: Taps) -> dict[str, Tensor]:
    """What each round of the regressor adds, under the README's names."""
    return {
        f"d{head}_iter{i}": call.flatten(0, 1)
        for head in ("pose", "shape", "cam")
        for i, call in enumerate(taps.calls[f"regressor.heads.{head}"])
    }


def _estimates(network: MultiRoiAuthors, taps: Taps, head: str) -> list[Tensor]:
    """The start of an estimate and what each round adds to it."""
    rounds = [call.flatten(0, 1) for call in taps.calls[f"regressor.heads.{head}"]]
    return [network.regressor.get_buffer(f"init_{head}"), *rounds]


def _photo_cameras(img_hw: Tensor, focal: Tensor | None = None) -> Camera:
    """The cameras of photos, each of its own size; their focal length is the diagonal where it is not given."""
    sizes = [(int(width), int(height)) for height, width in img_hw.tolist()]
    if focal is None:
        return Camera(torch.stack([Camera.virtual(math.hypot(*size), size).matrix for size in sizes]))
    pairs = zip(focal.tolist(), sizes, strict=True)
    return Camera(torch.stack([Camera.virtual(focal_px, size).matrix for focal_px, size in pairs]))


def _crops(photos: Camera, centre: Tensor, scale: Tensor) -> Camera:
    """The cameras of crops around boxes of 200 x scale px."""
    return photos.cropped(crop_around(centre.double(), 200 * scale.double(), _RECT))


def check_cameras(arrays: Arrays) -> None:
    """The local camera moved to the photo, and points projected with it."""
    photos = _photo_cameras(arrays.tensor("cam/img_hw"), arrays.tensor("cam/focal"))
    crops = _crops(photos, arrays.tensor("cam/center"), arrays.tensor("cam/scale"))
    translation = crops.translation_from_weak(arrays.tensor("cam/crop_cam").double(), _RECT)
    arrays.compare("cam/full_cam", translation, of_max=1e-6)  # float32's rounding; the README names none
    points = arrays.tensor("cam/points").double() + translation[:, None]
    arrays.compare("cam/projected", photos.project(points), atol=2e-4)


def check_view_losses(arrays: Arrays) -> None:
    """Camera consistency and the contrastive loss."""
    photos = _photo_cameras(arrays.tensor("camloss/img_hw"))
    crops = _crops(photos, arrays.tensor("camloss/center"), arrays.tensor("camloss/scale"))
    for prefix in ("", "consistent_"):
        weak = arrays.tensor(f"camloss/{prefix}crop_cam").double()
        translation = crops.translation_from_weak(weak, _RECT).unflatten(0, (-1, _ROIS))
        focal = photos.focal_px.unflatten(0, (-1, _ROIS))
        value = camera_consistency_authors(translation, focal, torch.ones_like(focal, dtype=torch.bool))
        # "built to give ~0": what float32 leaves of it, the square of a few times its rounding.
        arrays.compare(f"camloss/{prefix}value", value, of_max=_LOSS, atol=1e-12)
    identity = arrays.tensor("conloss/mask").argmax(-1)  # of the first crop of the same person
    z = arrays.tensor("conloss/z")[identity.argsort(stable=True)].unflatten(0, (len(identity.unique()), -1))
    for name in arrays.names("conloss/value_temperature"):
        temperature = float(name.removeprefix("conloss/value_temperature"))
        value = crop_contrast_authors(z, torch.ones(z.shape[:2], dtype=torch.bool), temperature)
        arrays.compare(name, value, of_max=_LOSS)
        arrays.compare("conloss/value_unscaled", value / temperature, of_max=_LOSS)


def check_supervised_losses(arrays: Arrays) -> None:
    """Reprojection, 3D joints, pose, shape and vertices; unweighted."""

    def get(name: str) -> Tensor:
        return arrays.tensor(f"suploss/{name}").double()

    joints = get("pred_joints")
    photos = _photo_cameras(arrays.tensor("camloss/img_hw"), get("focal"))  # sizes: of the same crops
    pixels = photos.cropped(get("crop_trans")).project(joints + get("full_cam")[:, None])
    half, nothing = torch.tensor([_RECT[1] / 2, _RECT[0] / 2]).double(), (0, 0, len(OPENPOSE25), 0)
    flat, deep = get("gt_kp2d_crop_px"), pad(get("gt_kp3d"), nothing)  # 3D: of SPIN's points alone
    hips = [len(OPENPOSE25) + joint for joint in SPIN24.indices("right_hip", "left_hip")]
    fitted, pelvis = get("has_smpl") == 1, get("j_regressor_17x50")[H36M17.index("pelvis")]
    made, true = (get(f"{name}_verts") - (pelvis @ get(f"{name}_verts"))[:, None] for name in ("pred", "gt"))
    rotations = rotation_from_axis_angle(get("gt_pose").unflatten(-1, (-1, 3)))
    points, shape = centred(joints, *hips), get("pred_betas")
    estimates = {
        "kp2d": pixels / half - 1,
        "kp3d": points,
        "vertices": made,
        "pose": get("pred_rotmat"),
        "betas": shape,
    }
    everyone, one, fits = torch.ones(len(joints), 1, 1, dtype=torch.bool), torch.ones(()), fitted[:, None, None]
    labels = {
        "kp2d": Label(flat[..., :2] / half - 1, flat[..., 2:], everyone),
        "kp3d": Label(centred(deep[..., :3], *hips), deep[..., 3:], everyone),
        "vertices": Label(true, one, fits),
        "pose": Label(rotations, one, fits[..., None]),
        "betas": Label(get("gt_betas"), one, fitted[:, None]),
    }
    losses = supervised_losses(estimates, labels)
    losses["kp3d"] *= len(joints[0]) / len(SPIN24)  # the mean is over these
    for name, loss in zip(("kp2d", "kp3d_all_valid", "verts", "pose", "betas"), losses.values(), strict=True):
        arrays.compare(f"suploss/{name}", loss, of_max=_LOSS)


def check_boxes(arrays: Arrays) -> None:
    """The RoIs of the papers' rule and their vectors, the authors' crop matrices, and the box around keypoints."""
    img_hw, boxes = arrays.tensor("roi_spec/img_hw"), arrays.tensor("roi_spec/boxes_cx_cy_b")
    copies = torch.tensor(ROI_COPIES, dtype=torch.float64)
    first = boxes[:, :1]  # the others are its copies
    made = torch.cat([first[..., :2] + first[..., 2:] * copies[:, :2], first[..., 2:] * copies[:, 2:]], dim=-1)
    arrays.compare("roi_spec/boxes_cx_cy_b", made, of_max=1e-9)
    photos = Camera(_photo_cameras(img_hw).matrix[:, None].expand(-1, _ROIS, 3, 3))
    crops = photos.cropped(crop_around(made[..., :2], made[..., 2], _RECT))
    arrays.compare("roi_spec/bbox_info", box_vectors(crops, _RECT), of_max=1e-6)
    turns = -torch.deg2rad(arrays.tensor("affine/rot_deg"))[:, None]  # the authors' positive turn is the other way
    for name in arrays.names("affine/"):
        if name != "affine/rot_deg":
            width, height = (int(side) for side in name.rpartition("_")[2].split("x"))
            affine = crop_around(boxes[..., :2], boxes[..., 2], (height, width), turns)
            arrays.compare(name, affine, atol=2e-3)
    photo = Photo(np.zeros((16, 16, 3), np.uint8), Camera.guess((16, 16)))
    keypoints = arrays.get("bbox_from_kp/in").astype(np.float64)
    person = Person(np.array([0.0, 0.0, 1.0, 1.0]), 1.0, keypoints, SPIN24)
    spec = roi_spec(_RECT, ROI_COPIES)
    back = affine_inverse(group_people(spec, photo, [person]).crop_from_photo[:, 0].double())
    middle = affine_apply(back, torch.tensor([[[_RECT[1] / 2, _RECT[0] / 2]]]).double())[0, 0]
    arrays.compare("bbox_from_kp/center", middle, of_max=1e-6)
    arrays.compare("bbox_from_kp/scale", back[0, 0, 0] * _RECT[0] / 200, of_max=1e-6)


def check_labels(arrays: Arrays) -> None:
    """Rotations from 6D, mirrored and turned labels, and the aligned error."""
    arrays.compare("rot6d/out", rotation_from_6d_rows(arrays.tensor("rot6d/in")), atol=4e-6)  # as observed of rotmat
    vectors = arrays.tensor("aug/pose").unflatten(-1, (-1, 3))
    rotations = rotation_from_axis_angle(vectors)
    pose = replace(BodyPose.rest(dtype=vectors.dtype), rotations=rotations).mirrored()
    turns = vectors[list(SMPL24.mirror)].norm(dim=-1)  # a label may turn by more than half a turn
    flipped = _with_angle(rotation_to_axis_angle(pose.rotations), turns)
    arrays.compare("aug/pose_flipped", flipped.flatten(), of_max=1e-9)
    for name in arrays.names("aug/root_rotated_by_"):
        angle = math.radians(float(name.removeprefix("aug/root_rotated_by_").removesuffix("deg")))
        turned = (
            rotation_about_z(torch.tensor(-angle, dtype=vectors.dtype)) @ rotations[0]
        )  # as with crops: the other way
        arrays.compare(name, rotation_to_axis_angle(turned), of_max=1e-9)
    points, swap = arrays.tensor("aug/kp"), list(OPENPOSE25.mirror)
    swap += [len(OPENPOSE25) + i for i in SPIN24.mirror]
    arrays.compare("aug/kp_flipped", points[swap] * torch.tensor([-1.0, 1.0, 1.0]))
    error = pa_mpjpe(arrays.tensor("metric/pred"), arrays.tensor("metric/gt"))
    arrays.compare("metric/pa_mpjpe", error, of_max=1e-9)


def _with_angle(vectors: Tensor, angles: Tensor) -> Tensor:
    """The rotation vectors of the same rotations whose angles are closest to the given ones, whole turns apart."""
    norm = vectors.norm(dim=-1)
    other = norm - 2 * math.pi  # the other way round
    return vectors * (torch.where((norm - angles).abs() < (-other - angles).abs(), norm, other) / norm)[..., None]
