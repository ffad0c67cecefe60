"""JOTR against the arrays of its authors' code: the network, its parts, both contrastive losses, metrics and crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from humesh.body.files import BodyData
from humesh.body.joints import COCO17, H36M17, JOTR15, JOTR30, LSP14, OPENPOSE18, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import cut, group_people, visible_in_crop
from humesh.evaluation.metrics import mpjpe, pa_mpjpe
from humesh.geometry.align import procrustes
from humesh.geometry.boxes import affine_3x3, affine_inverse, square_crop
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d_rows, rotation_from_axis_angle, rotation_to_axis_angle
from humesh.losses import LearnedWeights
from humesh.media.photo import Photo
from humesh.methods import jotr_loss as contrast
from humesh.methods.jotr import Jotr, JotrOutput, weak_camera
from humesh.methods.jotr_loss import jotr_losses
from humesh.networks.heads import clamped_logit, fractions, gaussian_heatmaps
from humesh.people.person import Person
from parity.arrays import Arrays, Taps, key_list, made_up_array, made_up_state

EYES_AND_EARS = {"nose": 331, "left_eye": 2802, "right_eye": 6262, "left_ear": 3489, "right_ear": 3990}  # SMPL vertices
CROP = 256


def check(files: dict[str, Arrays], folder: Path, salt: str, keys: Path | None) -> None:
    """Every array of the folder, by file."""
    shapes = key_list(folder, "state_dict.json", keys)
    state = made_up_state(shapes, salt) | {"exponent": torch.tensor(3.0)}  # kept as built (README)
    body = BodyModel(_body(shapes, salt))
    network = _network(state, body)
    if "forward" in files:
        _forward(files["forward"], files["forward"], network, body)
    if "forward_b" in files:
        changed = {key: 16 * state[key] for key in ("query.weight", "spose_shape_cam_param")}
        exponent = {"exponent": torch.tensor(float(files["forward_b"].get("const/exponent")))}
        _forward(files["forward_b"], files["forward"], _network(state | changed | exponent, body), body)
    if "units" in files:
        _units(files["units"], network)
    for name, run in (("contrastive", _contrastive), ("losses", _losses), ("eval", _eval)):
        if name in files:
            run(files[name])
    if "preprocess" in files:
        _preprocess(files["preprocess"], network)


def _network(state: dict[str, Tensor], body: BodyModel) -> Jotr:
    """The network with an authors' state dict, in which VPoser's weights are their own companion."""
    keys = Jotr.authors_keys
    assert keys is not None
    network = Jotr(keys.config(state), body).eval()
    ours, _ = keys.apply(state)
    network.load_state_dict(ours | keys.from_companion(state), strict=True)
    return network


def _body(shapes: dict, salt: str) -> BodyData:
    """The made-up body of the README instead of SMPL."""

    def drawn(name: str, *shape: int) -> np.ndarray:
        key = f"human_model_layer.th_{name}"
        return made_up_array(key, shape or tuple(shapes[key]["shape"]), salt)

    def rows(draw: np.ndarray, power: int | None = None) -> np.ndarray:
        raw = np.maximum(draw.astype(np.float64) - 3, 0) if power is None else np.abs(draw.astype(np.float64)) ** power
        return (raw / raw.sum(1, keepdims=True)).astype(np.float32)

    template = drawn("v_template")[0] * np.array([0.25, 0.6, 0.15], dtype=np.float32)
    regressor, vertices = rows(drawn("J_regressor")), len(template)
    extra = rows(made_up_array("J_regressor_extra", (9, vertices), salt))
    face = np.eye(vertices, dtype=np.float32)[list(EYES_AND_EARS.values())]
    faces = np.zeros(tuple(shapes["human_model_layer.th_faces"]["shape"]), dtype=np.int64)
    return BodyData(
        name="made up",
        template=template,
        shape_directions=np.float32(0.01) * drawn("shapedirs"),
        joint_regressor=regressor,
        weights=rows(drawn("weights"), 4),
        faces=faces,
        pose_directions=np.float32(0.001) * drawn("posedirs"),
        keypoint_regressors={JOTR30.name: np.concatenate([regressor, face, extra[3:4]])},
    )


def _nearest_vectors(vectors: Tensor, reference: np.ndarray) -> Tensor:
    """The same rotations written as the rotation vectors that are nearest to the reference (they jump at pi)."""
    vectors = vectors.double()
    angle = vectors.norm(dim=-1, keepdim=True)
    other = vectors * (1 - 2 * torch.pi / angle.clamp(min=1e-9))
    wanted = torch.from_numpy(np.array(reference)).double()
    jumped = ((other - wanted).norm(dim=-1) < (vectors - wanted).norm(dim=-1)) & (angle[..., 0] > 3)
    return torch.where(jumped[..., None], other, vectors)


@torch.no_grad()
def _forward(arrays: Arrays, inputs: Arrays, network: Jotr, body: BodyModel) -> None:
    """The whole network; mid 2e-5 of the largest, stage and out 5e-5, joint_proj 1e-4 relative (README)."""
    taps = Taps(
        network,
        *("encoder.maxpool", "fusion", "encoder.layer1", "encoder.layer2", "encoder.layer3", "encoder.layer4"),
        *("flatten", "volume.layers.0", "decoder_norm", "token_encoder.1", "vposer"),
        *(f"decoder.{layer}.cross_attn" for layer in range(len(network.decoder))),
    )
    pixels = inputs.tensor("in/img_u8").float() / 255
    points, seen = inputs.tensor("in/joints"), inputs.tensor("in/joints_mask")[..., 0]
    output = network.network(pixels, points, seen)
    volume, cells, batch = network.volume, network.volume.cells, len(pixels)
    side = cells[1]

    def mid(name: str, value: Tensor) -> None:
        if f"mid/{name}" in arrays or f"mid/{name}/sample" in arrays:
            arrays.compare(f"mid/{name}", value, of_max=2e-5)

    mid("heatmap", taps.inputs["fusion"][-1][0][:, -len(JOTR30) :])
    mid("stem", taps["encoder.maxpool"])
    mid("pose2feat", taps["fusion"])
    for layer in (1, 2, 3):
        mid(f"layer{layer}", taps[f"encoder.layer{layer}"])
    mid("c5", taps["encoder.layer4"])
    grid = fractions(cells, volume.clamped_exponent()).T.reshape(1, 3, *cells)
    lifted = volume.lifted(taps["encoder.layer4"]).mT.reshape(batch, -1, *cells)
    mid("voxel_in", torch.cat([lifted, grid.expand(batch, -1, -1, -1, -1)], dim=1))
    mid("voxel_coord", taps.inputs["volume.layers.0"][-1][0].mT.reshape(batch, -1, *cells))
    mid("voxel_out", output.volume.mT.reshape(batch, -1, *cells))
    mid("feat2d_down", taps["flatten"])
    mid("memory2d", taps["token_encoder.1"])
    mid("decoder_tokens", torch.stack(taps.calls["decoder_norm"]))
    memories = [network.refining_memory(taps["token_encoder.1"], output.volume, joints) for joints in output.joints]
    for layer, (memory, code) in enumerate(memories[:-1]):  # what is sampled after the last layer is not used
        used = taps.inputs[f"decoder.{layer + 1}.cross_attn"][-1]
        assert torch.equal(used[2], memory)
        assert torch.equal(used[1], memory + code)
    mid("sampled_voxels", torch.stack([memory[:, side * side :] for memory, _ in memories]))
    mid("sampled_pos", torch.stack([code[:, side * side :] for _, code in memories]))
    mid("sample_grid", torch.stack([2 * volume.warped(joints) - 1 for joints in output.joints]))
    if "mid/vposer_pose" in arrays:
        arrays.compare("mid/vposer_pose", _pose69(network, output.pose[-1], arrays.get("mid/vposer_pose")), of_max=2e-5)

    for name, value in _stages(output).items():
        arrays.compare(f"stage/{name}", value, atol=5e-5)
    constants = {
        "pos2d": network.token_code[0].T.reshape(-1, side, side),
        "pos1d": volume.code[0, :, ::3],
        "rrc": grid,
        "exponent": volume.exponent,
    }
    for name, value in constants.items():
        if f"const/{name}" in arrays:
            arrays.compare(f"const/{name}", value, atol=1e-5)
    _bodies(arrays, body, output)


def _pose69(network: Jotr, code: Tensor, reference: np.ndarray) -> Tensor:
    """VPoser's answer as 23 rotation vectors; the hands' are zero."""
    vectors = _nearest_vectors(rotation_to_axis_angle(network.vposer(code)), reference.reshape(-1, 23, 3)[:, :21])
    return torch.cat([vectors, vectors.new_zeros(len(code), 2, 3)], dim=1).flatten(1)


def _vposer(arrays: Arrays, network: Jotr) -> None:
    """VPoser by itself; joints whose two 3-vectors are nearly parallel (12 degrees) are held to less, as they lose.

    Making them perpendicular multiplies the rounding of the six numbers by 1 / sin(angle). One joint of the arrays has
    so little of an angle that the authors' own float32 is 7e-5 off the same decoder in float64, and ours on another
    processor as much off theirs.
    """
    answers: list[Tensor] = []
    watch = network.vposer.out.register_forward_hook(lambda *call: answers.append(call[-1]))
    reference = arrays.get("vposer/pose69")
    pose = _pose69(network, arrays.tensor("vposer/z"), reference)
    watch.remove()
    first, second = answers[0].unflatten(-1, (21, 3, 2)).unbind(-1)
    sine = torch.linalg.cross(first, second).norm(dim=-1) / (first.norm(dim=-1) * second.norm(dim=-1))
    kept = torch.cat([(5 * sine).clamp(max=1), sine.new_ones(len(sine), 2)], dim=1).repeat_interleave(3, dim=1)
    theirs = torch.as_tensor(reference, dtype=pose.dtype)
    arrays.compare("vposer/pose69", theirs + kept * (pose - theirs), atol=1e-5)


def _stages(output: JotrOutput) -> dict[str, Tensor]:
    return {
        "joint_img": output.joints,
        "root_pose6d": output.root,
        "pose_latent": output.pose,
        "betas": output.shape,
        "cam": output.camera,
    }


def _translation(camera: Tensor) -> Tensor:
    """Where the authors' virtual camera (5000 px, centred on the crop) puts the body."""
    return Camera.virtual(5000.0, (CROP, CROP)).translation_from_weak(weak_camera(camera), CROP)


def _bodies(arrays: Arrays, body: BodyModel, output: JotrOutput) -> None:
    """Pose, mesh and joints of the last layer's answer."""
    translation = _translation(output.camera[-1])
    bodies = body(BodyPose(output.rotations, output.shape[-1], translation))
    joints = body.keypoints(bodies.vertices, JOTR30)
    pelvis = joints[:, JOTR30.index("pelvis"), None]
    reference = arrays.get("out/smpl_pose").reshape(-1, len(SMPL24), 3)
    # The authors add 1e-4 m to the depths before they project.
    pixels = Camera.virtual(5000.0, (CROP, CROP)).project(joints + torch.tensor([0.0, 0.0, 1e-4]))
    results = {
        "smpl_pose": _nearest_vectors(rotation_to_axis_angle(output.rotations), reference).flatten(1),
        "rotmat": output.rotations,
        "smpl_shape": output.shape[-1],
        "cam_param": output.camera[-1],
        "cam_trans": translation,
        "joint_img": output.joints[-1],
        "joint_cam": joints - pelvis,
        "smpl_mesh_cam": bodies.vertices - pelvis,
        "mesh_cam_render": bodies.vertices,
    }
    for name, value in results.items():
        if f"out/{name}" in arrays or f"out/{name}/sample" in arrays:
            arrays.compare(f"out/{name}", value, atol=5e-5)
    arrays.compare("out/joint_proj", pixels / CROP * 64, of_max=1e-4)


@torch.no_grad()
def _units(arrays: Arrays, network: Jotr) -> None:
    """The parts one by one, 1e-5 (README)."""
    volume, kept = network.volume, network.volume.exponent.clone()
    size = arrays.content["heatmap/out"].shape[-1]
    mask = arrays.tensor("heatmap/mask")[..., 0]
    arrays.compare("heatmap/out", gaussian_heatmaps(arrays.tensor("heatmap/joints"), mask, size, 2.5), atol=1e-5)

    grids = []
    cells = arrays.content["rrc/grid_zyx"].shape[2:]
    for raw in arrays.tensor("rrc/exponent_raw"):
        volume.exponent.copy_(raw)
        grids.append(fractions(cells, volume.clamped_exponent()).T.reshape(3, *cells))
    arrays.compare("rrc/grid_zyx", torch.stack(grids), atol=1e-5)

    tokens, points = arrays.tensor("sample/volume").flatten(2).mT, arrays.tensor("sample/points01")
    for name in arrays.names("sample/"):
        if name.endswith("/exponent"):
            case = name.removesuffix("/exponent")
            volume.exponent.copy_(torch.tensor(float(arrays.get(name))))
            arrays.compare(f"{case}/grid", 2 * volume.warped(points) - 1, atol=1e-5)
            arrays.compare(f"{case}/out", volume.at(tokens, points), atol=1e-5)
    volume.exponent.copy_(kept)

    arrays.compare("inv_sigmoid/y", clamped_logit(arrays.tensor("inv_sigmoid/x")), atol=1e-5)
    turned = rotation_to_axis_angle(rotation_from_6d_rows(arrays.tensor("rot6d/x")))
    arrays.compare("rot6d/axis_angle", _nearest_vectors(turned, arrays.get("rot6d/axis_angle")), atol=1e-5)
    rotation = rotation_from_axis_angle(arrays.tensor("aa/in"))
    arrays.compare("aa/rotmat", rotation, atol=1e-5)
    arrays.compare("aa/back", _nearest_vectors(rotation_to_axis_angle(rotation), arrays.get("aa/back")), atol=1e-5)
    _vposer(arrays, network)

    camera, box = arrays.tensor("camera/cam"), arrays.tensor("camera/bbox_xywh")
    arrays.compare("camera/trans", _translation(camera), atol=1e-5)
    # Theirs for rendering: 5000 px about the box's centre; ours is the same with the camera of that photo's crop.
    centre, side = box[:, :2] + box[:, 2:] / 2, box[:, 2:].prod(-1).sqrt()
    photo = torch.tensor([[5000.0, 0, 0], [0, 5000.0, 0], [0, 0, 1]]).repeat(len(box), 1, 1)
    photo[:, :2, 2] = centre
    crop = square_crop(torch.cat([centre - side[:, None] / 2, centre + side[:, None] / 2], dim=-1), CROP)
    placed = Camera(photo).cropped(crop).translation_from_weak(weak_camera(camera), CROP)
    arrays.compare("camera/trans_render", placed, atol=1e-5, of_each=1e-6)

    source, code = (arrays.tensor(f"enc_layer/{name}").transpose(0, 1) for name in ("src", "pos"))
    arrays.compare("enc_layer/out2d_layer0", network.token_encoder[0](source, code).transpose(0, 1), atol=1e-5)
    arrays.compare("enc_layer/out3d_layer0", volume.layers[0](source, code).transpose(0, 1), atol=1e-5)
    queries, query_code = (arrays.tensor(f"dec_layer/{name}").transpose(0, 1) for name in ("tgt", "query_pos"))
    decoded = network.decoder[1](queries, query_code, source, code)
    arrays.compare("dec_layer/out_layer1", decoded.transpose(0, 1), atol=1e-5)


def _contrastive(arrays: Arrays) -> None:
    """Losses and gradients for the draws that the authors' run made, 1e-5 (README)."""
    for case in sorted({name.split("/")[0] for name in arrays.names()} - {"info_nce"}):
        volume = arrays.tensor(f"{case}/volume").requires_grad_()
        predicted = arrays.tensor(f"{case}/pred_xyz").requires_grad_()
        tokens, cells, points = volume.flatten(2).mT, tuple(volume.shape[2:]), (predicted + 1) / 2
        anchors, features = arrays.tensor(f"{case}/anchor_idx"), contrast.features_at(tokens, points, cells)
        if case.startswith("j2j"):
            true, valid = arrays.tensor(f"{case}/gt_xyz").requires_grad_(), arrays.tensor(f"{case}/valid") > 0
            kept = valid.any(0)[anchors % valid.shape[1]]
            draw = contrast.Draw(anchors, *(arrays.tensor(f"{case}/{n}") for n in ("pos_batch_idx", "neg_idx")), kept)
            loss = contrast.joint_to_joint(features, contrast.features_at(tokens, (true + 1) / 2, cells), draw)
        else:
            pool = contrast.non_joint_voxels(points, cells)
            arrays.compare(f"{case}/neg_pool", pool.reshape(-1, *cells))
            drawn = (arrays.tensor(f"{case}/{n}") for n in ("pos_idx", "neg_voxel_idx"))
            draw = contrast.Draw(anchors, *drawn, torch.ones_like(anchors, dtype=torch.bool))
            loss = contrast.joint_to_non_joint(features, tokens, draw)
        loss.backward()
        arrays.compare(f"{case}/loss", loss, atol=1e-5)
        arrays.compare(f"{case}/grad_volume", volume.grad, atol=1e-5)
        arrays.compare(f"{case}/grad_pred", predicted.grad, atol=1e-5)
        if case.startswith("j2j"):
            arrays.compare(f"{case}/grad_gt", true.grad, atol=1e-5)
    query, positive = (normalize(arrays.tensor(f"info_nce/{name}"), dim=-1) for name in ("query", "positive"))
    pull = (query * positive).sum(-1, keepdim=True) / contrast.TEMPERATURE
    for kind in ("shared", "paired"):
        negatives = normalize(arrays.tensor(f"info_nce/neg_{kind}"), dim=-1)
        result = contrast.info_nce(pull, (negatives @ query[..., None])[..., 0] / contrast.TEMPERATURE)
        arrays.compare(f"info_nce/loss_{kind}", result[..., 0], atol=1e-5)


def _losses(arrays: Arrays) -> None:
    """The six supervised terms and how their weights are learned, 1e-5 (README)."""
    value = {name: arrays.tensor(name).float() for name in arrays.names() if name.split("/")[0] in ("pred", "meta")}
    value |= {name: arrays.tensor(name) for name in arrays.names("target/") if name != "target/fit_joint_cam"}
    arrays.note("target/fit_joint_cam")  # no loss uses the fit's 3D joints (fact sheet, section 10)
    chosen = JOTR30.indices(*JOTR15.names)
    in_3d, fitted = value["meta/is_3D"][:, None, None], value["meta/is_valid_fit"][:, None]
    joints_weight = value["meta/orig_joint_trunc"][:, chosen].expand(-1, -1, 3).clone()
    joints_weight[..., 2:] *= in_3d  # z only where 3D is known
    made = {
        "body_joint_img": value["pred/joint_img"],
        "smpl_joint_img": value["pred/joint_img"],
        "smpl_pose": value["pred/smpl_pose"],
        "smpl_shape": value["pred/smpl_shape"],
        "body_joint_proj": value["pred/joint_proj"] / 64,
        "body_joint_cam": value["pred/joint_cam"],
    }
    placed, fit_placed = (value[f"target/{kind}_joint_img"] / 64 for kind in ("orig", "fit"))
    true = {
        "body_joint_img": (placed[:, chosen], joints_weight),
        "smpl_joint_img": (fit_placed[:, chosen], value["meta/fit_joint_trunc"][:, chosen] * fitted[..., None]),
        "smpl_pose": (value["target/pose_param"], value["meta/fit_param_valid"] * fitted),
        "smpl_shape": (value["target/shape_param"], fitted),
        "body_joint_proj": (placed[..., :2], value["meta/orig_joint_trunc"]),
        "body_joint_cam": (value["target/orig_joint_cam"], value["meta/orig_joint_valid"] * in_3d),
    }
    losses, means = jotr_losses(made, true), {}
    for name in (name.removeprefix("mean/") for name in arrays.names("mean/")):
        means[name] = losses[name.rstrip("0123456789").removesuffix("_")]
        arrays.compare(f"mean/{name}", means[name], atol=1e-5)
        entries = float(np.prod(arrays.get(f"map_shape/{name}")))  # of the map that the mean is over
        arrays.compare(f"map_sum/{name}", entries * means[name].double(), atol=1e-5, of_each=1e-6)
    contrasts = 0.1 * (float(arrays.get("nce_intra")) + float(arrays.get("nce_inter")))
    for params in (name for name in arrays.names("awl/") if name.endswith("/params")):
        case = params.removesuffix("/params")
        learned = LearnedWeights(tuple(str(name) for name in arrays.get(f"{case}/keys")))
        learned.scales.data = arrays.tensor(params)
        weighted = torch.stack(list(learned(means).values()))
        arrays.compare(f"{case}/weighted", weighted, atol=1e-5)
        arrays.compare(f"{case}/total_with_nce", weighted.sum() + contrasts, atol=1e-5)


def _eval(arrays: Arrays) -> None:
    """Metrics of meshes, in mm, 1e-3 (README)."""
    meshes = [arrays.tensor(name).double() for name in ("pred_mesh", "gt_mesh")]
    smpl, h36m = (arrays.tensor(name).double() for name in ("smpl_regressor30", "h36m_regressor17"))
    joints = [(h36m @ mesh) - (h36m[H36M17.index("pelvis"), None] @ mesh) for mesh in meshes]
    joints = [points[:, H36M17.indices(*LSP14.names)] for points in joints]
    vertices = [mesh - smpl[JOTR30.index("pelvis"), None] @ mesh for mesh in meshes]
    arrays.compare("mpjpe_mm", 1000 * mpjpe(*joints), atol=1e-3)
    arrays.compare("pa_mpjpe_mm", 1000 * pa_mpjpe(*joints), atol=1e-3)
    arrays.compare("mpvpe_mm", 1000 * mpjpe(*vertices), atol=1e-3)
    source = arrays.tensor("rigid/A")
    for case in ("", "_mirror"):
        target = arrays.tensor(f"rigid/B{case}")
        arrays.compare(f"rigid/aligned{case}", procrustes(source, target)(source), atol=1e-5)


def _preprocess(arrays: Arrays, network: Jotr) -> None:
    """Boxes, crops and joints of photos: boxes and joints 1e-3 px, affine 1e-3, crops 2e-3 (README)."""
    pixels = arrays.get("image_rgb_u8")
    photo = Photo.of(pixels)
    for name in [name for name in arrays.names() if name.endswith("/keypoints")]:
        case = name.removesuffix("/keypoints")
        joint_set = {17: COCO17, 18: OPENPOSE18}[len(arrays.content[name])]
        person = Person(np.zeros(4), 1.0, arrays.get(name), joint_set)
        box = network.spec.box(person, photo.size)
        arrays.compare(f"{case}/bbox_xywh", np.concatenate([box[:2], box[2:] - box[:2]]), atol=1e-3)
        crops = group_people(network.spec, photo, [person])
        crop_from_photo, points = crops.crop_from_photo[0, 0].double(), crops.keypoints[0, 0]
        arrays.compare(f"{case}/img2bb", crop_from_photo, atol=1e-3)
        arrays.compare(f"{case}/bb2img", affine_inverse(crop_from_photo), atol=1e-3)
        arrays.compare(f"{case}/joints30", points[:, :2] / 4, atol=1e-3)
        arrays.compare(f"{case}/joints_mask30", visible_in_crop(points, crops.size)[:, None].float())
        # The authors' affine maps the centres of pixels as integers, ours as halves.
        half = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]).double()
        affine = half @ affine_3x3(crop_from_photo) @ half.inverse()
        crop = cut(photo.pixels, affine[None, :2], crops.size)[0]
        arrays.compare(f"{case}/crop_every4", crop[:, ::4, ::4], atol=2e-3)
        arrays.compare(f"{case}/crop_meanstd", np.array([crop.mean(), crop.double().std(correction=0)]), atol=2e-3)
    for name in [name for name in arrays.names() if name.endswith("/in_cx_cy_w_h_scale_rot")]:
        x, y, width, height, scale, degrees = arrays.get(name)
        box = torch.tensor([x - width / 2, y - width / 2, x + width / 2, y + width / 2]).double()
        matrix = square_crop(box, CROP, scale, -np.deg2rad(degrees))  # theirs turn the box, ours the content
        taller = torch.tensor([[1, 0, 0], [0, width / height, CROP / 2 * (1 - width / height)], [0, 0, 1]]).double()
        arrays.compare(name.split("/")[0] + "/mat", (taller @ affine_3x3(matrix))[:2], atol=1e-3)
