"""Hand-made mutants of the core: each is one wrong edit, which the fast tests named beside it must notice.

    python tools/mutants.py          all of them
    python tools/mutants.py 3 17     some, by number

They are made in a copy of the tree. Exits 1 if a mutant survives, its text is not found exactly once, or the tests fail
without it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_S = 300  # a mutant that makes tests hang is killed too


class Mutant(NamedTuple):
    """`old` becomes `new` in a file of src/humesh; `tests` are pytest's arguments below tests/."""

    file: str
    old: str
    new: str
    tests: str


_JOTR, _ROI = "methods/test_jotr.py -k authors_sums", "methods/test_multi_roi_loss.py"
_CONTACT = "fitting/test_contact.py -k 'contacts or touch'"
_IK, _INT = "methods/test_ik_refine.py -k losses_are", "methods/test_int_tokens.py -k 'losses_are or labels_say'"

_TERMS = "losses tests/methods/test_multi_roi_loss.py -k 'not processes'"
_JOTR_UNITS, _CONTRAST = (
    "methods/test_jotr.py -k 'authors_sums or place or nearer or warped or 3d'",
    "losses/test_contrast.py -k 'not processes'",
)
_IK_ALL = "methods/test_ik_refine.py -k 'losses or labels or centred or teach or least_squares or norm'"
_INT_ALL = "methods/test_int_tokens.py -k 'losses_are or labels_say or two_batches'"
_VIDEO, _LIFTER = "methods/test_lifter_video.py -k terms", "methods/test_lifter.py -k 'laplaces or ray'"

MUTANTS = (
    # JOTR's loss and its contrasts
    Mutant("methods/jotr_loss.py", '"body_joint_proj": 8.0', '"body_joint_proj": 4.0', _JOTR),
    Mutant("methods/jotr_loss.py", "pose_weight[..., _UNFITTED] = 0", "pass", _JOTR),
    Mutant("methods/jotr_loss.py", "0.5 + depth / DEPTH_BOX_M", "depth / DEPTH_BOX_M", _JOTR),
    Mutant("methods/jotr_loss.py", "softplus(push.logsumexp", "softplus(push.amax", "losses/test_contrast.py"),
    Mutant("methods/jotr_loss.py", "points * size).ceil()", "points * size).floor()", "losses/test_contrast.py"),
    Mutant("methods/jotr_loss.py", "return ~marked", "return marked", "losses/test_contrast.py"),
    # Multi-RoI's
    Mutant("methods/multi_roi_loss.py", "/ positive.sum(-1).clamp(min=1)", "", _ROI),
    Mutant("losses.py", " & in_fits", "", _ROI),
    Mutant("methods/multi_roi_loss.py", "(x + y).square()", "x.square() + y.square()", _ROI),
    # IK-refine's
    Mutant("methods/ik_refine.py", "weight).sum((-2, -1))", "weight).mean((-2, -1))", _IK),
    Mutant("methods/ik_refine.py", "in_pose[..., 1:] * has_bone", "in_pose[..., 1:]", _IK),
    Mutant("methods/ik_refine.py", "* (2 / side) - 1", "* (2 / side)", _IK),
    # INT's
    Mutant("methods/int_tokens.py", "present, counted, counted)", "present, counted, present)", _INT),
    Mutant("methods/int_tokens.py", ".norm() / counted.sum()", ".square().sum() / counted.sum()", _INT),
    Mutant("methods/int_tokens.py", "count / frames * losses", "losses", "methods/test_int_tokens.py -k two_batches"),
    # what losses share
    Mutant("losses.py", "torch.log1p(s)", "torch.log(s)", "losses/test_total.py"),
    Mutant("losses.py", "/ counted.sum().clamp(min=1)", "/ counted.numel()", "losses/test_total.py"),
    Mutant("losses.py", "targets.points3d_weight * (hips > 0)", "targets.points3d_weight", _ROI),
    # networks
    Mutant("networks/attention.py", "(mask | ~mask.any(-1, keepdim=True))", "(~mask)", "networks/test_attention.py"),
    Mutant("networks/heads.py", "(count - 1) - ticks", "count - ticks", "losses/test_contrast.py"),
    Mutant("networks/heads.py", "points[..., 2:] ** self", "points[..., 2:] ** 1 / self", "methods/test_jotr.py"),
    Mutant("networks/heads.py", "(2 * sigma**2)", "sigma**2", "networks/test_heatmaps.py"),
    Mutant("methods/lifter.py", "_LANDMARK_UNIT_M = 0.3", "_LANDMARK_UNIT_M = 3.0", "methods/test_lifter.py -k units"),
    # geometry and the body
    Mutant("geometry/camera.py", "@ rotation_about_z(-angle)", "@ rotation_about_z(angle)", "geometry/test_camera.py"),
    Mutant("geometry/camera.py", "depth[..., None] * (centre", "(centre", "geometry/test_camera.py"),
    Mutant(
        "geometry/align.py",
        "target, weights, compute_scaling",
        "target, None, compute_scaling",
        "geometry/test_align.py",
    ),
    Mutant("body/kinematics.py", "(frame @ bones[..., None])", "bones[..., None]", "body/test_kinematics.py"),
    Mutant(
        "body/kinematics.py", "sin = (axial * u).sum(-1) / 2", "sin = (axial * u).sum(-1)", "body/test_kinematics.py"
    ),
    Mutant("body/kinematics.py", "> fallback_m\n", "< fallback_m\n", "body/test_kinematics.py"),
    # crops
    Mutant("crops/crops.py", "(ends.amin(0).floor() - 1)", "(ends.amin(0).floor() + 1)", "crops/test_crops.py"),
    Mutant("crops/crops.py", "(a + b) / 2", "a", "crops/test_groups.py"),
    # people
    Mutant("people/video_people.py", "> 0.095 and changed", "> 0.095 or changed", "people/test_tracks.py -k cut"),
    Mutant("people/finder.py", "(apart / _NEAR) ** 2", "apart / _NEAR", "people/test_fusion.py"),
    Mutant("people/video_people.py", "rate[:2] * since", "rate[:2]", "people/test_tracks.py -k displacement"),
    Mutant("people/video_people.py", "(2 * reach**2)", "reach**2", "people/test_tracks.py -k similarity"),
    # fitting
    Mutant("fitting/windows.py", "1 - abs(2 * place - 1)", "1", "fitting/test_windows.py"),
    Mutant("fitting/motion.py", "_LOW_M, _LOW_WIDTH_M = 0.1,", "_LOW_M, _LOW_WIDTH_M = 0.2,", _CONTACT),
    Mutant("fitting/motion.py", "_SLOW_M_S - _speed", "_SLOW_M_S + _speed", _CONTACT),
    # data and exports
    Mutant("scene/mocap.py", "options.scale * rest", "rest", "scene/test_options.py"),
    Mutant("data/detector_errors.py", "/ _MEDIAN", "* _MEDIAN", "data/test_detector_errors.py"),
    Mutant("data/detector_errors.py", "scale = errors.harder *", "scale =", "data/test_detector_errors.py"),
    # each loss's kind, reduction, mask, centre and unit: what losses share
    Mutant("losses.py", "(prediction - target).abs()", "(prediction - target).square()", _TERMS),
    Mutant("losses.py", "(prediction - target).square()", "(prediction - target).abs()", _TERMS),
    Mutant("losses.py", "weight[..., 1:, :] * weight[..., :-1, :]", "weight[..., 1:, :]", _TERMS),
    Mutant("losses.py", "list(centre), :].mean(-2", "list(centre), :].sum(-2", _TERMS),
    Mutant("losses.py", "(scores - 1).square().sum(-1)", "scores.square().sum(-1)", _IK_ALL),
    Mutant("losses.py", "(scores - 1).square().sum(-1)", "(scores - 1).square().mean(-1)", _IK_ALL),
    Mutant("losses.py", "predicted.square().sum(-1)", "(predicted - 1).square().sum(-1)", _IK_ALL),
    Mutant("losses.py", "(error * weight).mean()", "(error * weight).sum() / weight.sum()", _TERMS),
    Mutant("losses.py", "(error * weight * counted)", "(error * counted)", _TERMS),
    Mutant("losses.py", "term[1] > 0)", "term[1] >= 0)", _TERMS),
    Mutant("losses.py", 'left_hip", "right_hip")', 'left_hip", "left_hip")', _TERMS),
    Mutant("losses.py", "size[::-1]", "size", _TERMS),
    Mutant("losses.py", "/ 2) - 1", "/ 2)", _TERMS),
    Mutant("losses.py", "half = size[0] / 2", "half = size[0]", _TERMS),
    Mutant("losses.py", "absolute(_about_mean(points, weight3d), ", "absolute(points, ", _TERMS),
    Mutant("losses.py", "targets.pose_weight[..., None, None])", "torch.ones(()))", _TERMS),
    Mutant("losses.py", "targets.shape_weight[..., None])", "torch.ones(()))", _TERMS),
    # JOTR
    Mutant("methods/jotr_loss.py", "reduced(absolute(", "reduced(squared(", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", '"body_joint_cam": 5.0', '"body_joint_cam": 1.0', _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "crops.camera) / crops.size[0]", "crops.camera) / 2 / crops.size[0]", _JOTR_UNITS),
    Mutant(
        "methods/jotr_loss.py", '"body_joint_cam": centred(points, _PELVIS)', '"body_joint_cam": points', _JOTR_UNITS
    ),
    Mutant(
        "methods/jotr_loss.py",
        "(centred(targets.points3d, _PELVIS), weight3d)",
        "(targets.points3d, weight3d)",
        _JOTR_UNITS,
    ),
    Mutant("methods/jotr_loss.py", " * targets.points3d_weight[..., _PELVIS, None, None]", "", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "weight2d * weight3d]", "weight2d]", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "known * targets.pose_weight.amin(-1) *", "known *", _JOTR_UNITS),
    Mutant(
        "methods/jotr_loss.py",
        "known * targets.pose_weight.amin(-1) * targets.shape_weight)",
        "known * targets.pose_weight.amin(-1))",
        _JOTR_UNITS,
    ),
    Mutant("methods/jotr_loss.py", "pose_weight[..., None]),", "torch.ones(())),", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "targets.shape_weight[..., None]),", "torch.ones(())),", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "(joints < 1)", "(joints < 2)", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "DEPTH_BOX_M = 2.0", "DEPTH_BOX_M = 4.0", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", " | (weight3d == 0)", "", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "(usable.sum(-1) >= 6)", "(usable.sum(-1) >= 16)", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "(1 - 2 * torch.pi", "(1 - torch.pi", _JOTR_UNITS),
    Mutant("methods/jotr_loss.py", "(tensor[known] for", "(tensor for", _CONTRAST),
    Mutant("methods/jotr_loss.py", "TEMPERATURE = 0.07", "TEMPERATURE = 0.7", _CONTRAST),
    Mutant("methods/jotr_loss.py", "info_nce(pull / TEMPERATURE, ", "info_nce(pull, ", _CONTRAST),
    Mutant("methods/jotr_loss.py", "kept), kept)", "kept), torch.ones_like(kept))", _CONTRAST),
    Mutant(
        "methods/jotr_loss.py",
        "return normalize(interpolation(points, cells) @ volume, dim=-1)",
        "return interpolation(points, cells) @ volume",
        _CONTRAST,
    ),
    Mutant(
        "methods/jotr_loss.py",
        "normalize(voxels.flatten(0, 1)[draw.negatives], dim=-1)",
        "voxels.flatten(0, 1)[draw.negatives]",
        _CONTRAST,
    ),
    Mutant("methods/jotr_loss.py", "same.any(-1))", "same.any(-1) | True)", _CONTRAST),
    Mutant("methods/jotr.py", "weight[..., 0] > 0", "weight[..., 0] >= 0", _JOTR_UNITS),
    # Multi-RoI
    Mutant("methods/multi_roi_loss.py", 'absolute if name == "vertices" else squared', "squared", _ROI),
    Mutant("methods/multi_roi_loss.py", 'absolute if name == "vertices" else squared', "absolute", _ROI),
    Mutant("methods/multi_roi_loss.py", "[0.1, 0.1, 1e-4]", "[0.1, 0.1, 1e-3]", _ROI),
    Mutant(
        "methods/multi_roi_loss.py",
        "torch.where(both, error, 0).sum((-2, -1)) / 2",
        "torch.where(both, error, 0).sum((-2, -1))",
        _ROI,
    ),
    Mutant("methods/multi_roi_loss.py", "torch.where(both, error, 0)", "error", _ROI),
    Mutant("methods/multi_roi_loss.py", "present.any(-1))", "torch.ones_like(present.any(-1)))", _ROI),
    Mutant("methods/multi_roi_loss.py", "(1e-4 * size)", "(1e-3 * size)", _ROI),
    Mutant("methods/multi_roi_loss.py", "2 * focal_px.to", "focal_px.to", _ROI),
    Mutant("methods/multi_roi_loss.py", " & ~torch.eye(", " | ~torch.eye(", _ROI),
    Mutant("methods/multi_roi_loss.py", "normalize(z.flatten(0, 1), dim=-1)", "z.flatten(0, 1)", _ROI),
    Mutant("methods/multi_roi_loss.py", "return temperature * crop", "return crop", _ROI),
    Mutant(
        "methods/multi_roi_loss.py",
        "torch.ones_like(sums)), usable)",
        "torch.ones_like(sums)), torch.ones_like(usable))",
        _ROI,
    ),
    Mutant(
        "methods/multi_roi_loss.py",
        '{"vertices": bodies.vertices - bodies.joints[..., :1, :]}',
        '{"vertices": bodies.vertices}',
        _ROI,
    ),
    Mutant(
        "methods/multi_roi_loss.py",
        "vertices = bodies.vertices - bodies.joints[..., :1, :]",
        "vertices = bodies.vertices",
        _ROI,
    ),
    Mutant("methods/multi_roi_loss.py", ".any(-1) & present", ".any(-1)", _ROI),
    Mutant("losses.py", "about_hips(points, joint_set)", "points", _ROI),
    Mutant(
        "losses.py",
        "targets.points2d_weight[..., None], in_2d",
        "torch.ones_like(targets.points2d_weight[..., None]), in_2d",
        _ROI,
    ),
    Mutant("losses.py", "confidence3d[..., None], in_3d", "torch.ones_like(confidence3d[..., None]), in_3d", _ROI),
    Mutant("losses.py", " & (targets.shape_weight > 0)", "", _ROI),
    Mutant("losses.py", "pose_weight.amin(-1)", "pose_weight.amax(-1)", _ROI),
    # IK-refine
    Mutant("methods/ik_refine.py", "weight.amax((-2, -1)).sign()", "torch.ones_like(weight.amax((-2, -1)))", _IK_ALL),
    Mutant("methods/ik_refine.py", "(made - true) * known)", "(made - true))", _IK_ALL),
    Mutant(
        "methods/ik_refine.py",
        ".flatten(-2).norm(dim=-1), known.amax",
        ".flatten(-2).square().sum(-1), known.amax",
        _IK_ALL,
    ),
    Mutant("methods/ik_refine.py", "in3d * targets.metric_weight[..., None, None]", "in3d", _IK_ALL),
    Mutant("methods/ik_refine.py", "absolute(_centred(relative, in3d), ", "absolute(relative, ", _IK_ALL),
    Mutant("methods/ik_refine.py", "absolute(metre * pixels, metre * points2d", "absolute(pixels, points2d", _IK_ALL),
    Mutant("methods/ik_refine.py", "absolute(metre * flat, metre * points2d", "absolute(flat, points2d", _IK_ALL),
    Mutant(
        "methods/ik_refine.py", "from_middle * ratio.clamp(min=1e-12).sqrt()[..., None, None]", "from_middle", _IK_ALL
    ),
    Mutant("methods/ik_refine.py", "(weight * targets.body_weight[..., None, None] for", "(weight for", _IK_ALL),
    Mutant(
        "methods/ik_refine.py", "targets.pose_weight * targets.body_weight[..., None]", "targets.pose_weight", _IK_ALL
    ),
    Mutant("methods/ik_refine.py", "targets.shape_weight * targets.body_weight", "targets.shape_weight", _IK_ALL),
    Mutant("methods/ik_refine.py", "squared(_centred(joints, in3d)", "squared(joints", _IK_ALL),
    Mutant("methods/ik_refine.py", '"refined_3d": summed(squared(', '"refined_3d": summed(absolute(', _IK_ALL),
    Mutant("methods/ik_refine.py", '"refined_2d": summed(squared(', '"refined_2d": summed(absolute(', _IK_ALL),
    Mutant("methods/ik_refine.py", "scale * (joints[..., :2] + shift)", "scale * joints[..., :2] + shift", _IK_ALL),
    Mutant(
        "methods/ik_refine.py",
        "rotation_to_6d(label.rotations), in_pose[..., None]",
        "rotation_to_6d(label.rotations), torch.ones_like(in_pose[..., None])",
        _IK_ALL,
    ),
    Mutant(
        "methods/ik_refine.py",
        "twist_of(pose.rotations[..., 1:, :, :], bones)).norm(dim=-1)",
        "twist_of(pose.rotations[..., 1:, :, :], bones)).square().sum(-1)",
        _IK_ALL,
    ),
    Mutant("methods/ik_refine.py", "in_pose[..., LEAVES])", "torch.ones_like(in_pose[..., LEAVES]))", _IK_ALL),
    Mutant("methods/ik_refine.py", "VOLUME_M / side)", "1 / side)", _IK_ALL),
    Mutant("methods/ik_refine.py", "known.sum(-2, keepdim=True)", "len(SMPL24)", _IK_ALL),
    # INT
    Mutant("methods/int_tokens.py", "counted[:, 1:] & counted[:, :-1]", "counted[:, 1:]", _INT_ALL),
    Mutant("methods/int_tokens.py", "confidence[..., 0])", "torch.ones_like(confidence[..., 0]))", _INT_ALL),
    Mutant("methods/int_tokens.py", "torch.where(counted[..., 0], vectors, 0)", "vectors", _INT_ALL),
    Mutant("methods/int_tokens.py", " | (present.sum(-1) == 1)", "", _INT_ALL),
    Mutant("methods/int_tokens.py", "counted = present & in_3d[:, None]", "counted = present", _INT_ALL),
    Mutant(
        "methods/int_tokens.py",
        'rotation_to_axis_angle(made["pose"]).flatten(-2), made["shape"]]',
        'rotation_to_axis_angle(made["pose"]).flatten(-2)]',
        _INT_ALL,
    ),
    # ours
    Mutant("methods/lifter_video.py", "both = there[:, 1:] * there[:, :-1]", "both = there[:, 1:]", _VIDEO),
    Mutant("methods/lifter_video.py", "/ seconds[..., None] for points", "for points", _VIDEO),
    Mutant(
        "methods/lifter_video.py", "wanted.diff(dim=1) / seconds / deep[:, 1:]", "wanted.diff(dim=1) / seconds", _VIDEO
    ),
    Mutant("methods/lifter_video.py", "min=_NEAR_M).log(), deep.log()", "min=_NEAR_M), deep", _VIDEO),
    Mutant("methods/lifter_video.py", "points - points.mean(-2, keepdim=True) for", "points for", _VIDEO),
    Mutant("methods/lifter_video.py", "error = 10 * ", "error = ", _VIDEO),
    Mutant("methods/lifter_video.py", "(error * (-log_error).exp() + log_error", "(error * (-log_error).exp()", _VIDEO),
    Mutant("methods/lifter_video.py", "weight[..., :_JOINTS].amin(-1, keepdim=True)", "torch.ones_like(error)", _VIDEO),
)


def main(numbers: list[int]) -> int:
    """Runs mutants by number, all if there are none; 1 if any was not killed."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in ("src", "tests", "tools"):
            shutil.copytree(ROOT / part, tree / part, copy_function=_copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(ROOT / "pyproject.toml", tree)
        chosen = numbers or list(range(len(MUTANTS)))
        sound = {tests: _pass(tests, tree) for tests in {MUTANTS[number].tests for number in chosen}}
        for tests in (tests for tests, passed in sound.items() if not passed):
            print(f"tests fail without any mutant: {tests}", flush=True)
        alive = [number for number in chosen if not (sound[MUTANTS[number].tests] and _killed(number, tree))]
    print(f"not killed: {', '.join(map(str, alive))}" if alive else f"all {len(chosen)} mutants are killed")
    return 1 if alive else 0


def _copy(source: str, target: str) -> None:
    """Copies Python files, which mutants change, and links the rest, which is large."""
    if source.endswith(".py"):
        shutil.copy2(source, target)
    else:
        os.symlink(source, target)


def _killed(number: int, tree: Path) -> bool:
    """Whether tests that pass without the mutant fail with it."""
    mutant = MUTANTS[number]
    path = tree / "src/humesh" / mutant.file
    text = path.read_text() if path.exists() else ""
    if (count := text.count(mutant.old)) != 1:
        outcome = f"its text is there {count} times"
    else:
        path.write_text(text.replace(mutant.old, mutant.new))
        outcome = "survived" if _pass(mutant.tests, tree) else "killed"
        path.write_text(text)
    print(f"{number:3} {outcome:8} {mutant.file}: {mutant.old.strip()} -> {mutant.new.strip()}", flush=True)
    return outcome == "killed"


def _pass(tests: str, tree: Path) -> bool:
    """Whether tests pass in the tree, within a time that only mutants exceed."""
    first, *more = shlex.split(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{first}", *more]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return not subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=_LONGEST_S
        ).returncode
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
