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
