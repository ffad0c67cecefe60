"""Joint sets by name: orders, trees, mirrors and maps, all computed from the names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

_SWAP = {"left": "right", "right": "left"}


def mirrored_name(name: str) -> str:
    """The joint on the other side of the body (`left_knee` -> `right_knee`)."""
    return "_".join(_SWAP.get(part, part) for part in name.split("_"))


@dataclass(frozen=True)
class JointSet:
    """An ordered list of named points on a body, optionally a tree (`parent_names`, the root's is None)."""

    name: str
    names: tuple[str, ...]
    parent_names: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"joint set {self.name!r}: expected distinct joint names, got {self.names}")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of a joint; ValueError names the joints there are."""
        try:
            return self._index[name]
        except KeyError:
            known = ", ".join(self.names)
            raise ValueError(f"joint set {self.name!r} has no joint {name!r}; it has: {known}.") from None

    def indices(self, *names: str) -> list[int]:
        """The positions of several joints."""
        return [self.index(name) for name in names]

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent positions, -1 for the root; only for sets that are trees."""
        if self.parent_names is None:
            raise ValueError(f"joint set {self.name!r} is not a tree")
        return tuple(-1 if parent is None else self.index(parent) for parent in self.parent_names)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the position of its mirror image; joints of the middle stay."""
        return tuple(self._index.get(mirrored_name(name), i) for i, name in enumerate(self.names))

    @cached_property
    def depths(self) -> tuple[tuple[int, ...], ...]:
        """Joint positions grouped by their distance from the root: level 0 is the root itself."""
        level: list[int] = []
        for parent in self.parents:
            level.append(0 if parent < 0 else level[parent] + 1)
        return tuple(tuple(i for i, d in enumerate(level) if d == depth) for depth in range(max(level) + 1))

    def map_to(self, other: JointSet) -> tuple[list[int], list[int]]:
        """Positions (here, there) of the joints that both sets have, in the other set's order."""
        shared = [name for name in other.names if name in self._index]
        return self.indices(*shared), other.indices(*shared)


JOINT_SETS: dict[str, JointSet] = {}
"""All joint sets by name."""


def _joints(name: str, names: str) -> JointSet:
    """A joint set of words; a tree where they are `joint<parent`, the root alone."""
    pairs = [word.partition("<") for word in names.split()]
    parents = tuple(parent or None for *_, parent in pairs) if "<" in names else None
    JOINT_SETS[name] = JointSet(name, tuple(joint for joint, *_ in pairs), parents)
    return JOINT_SETS[name]


_SMPL24 = """
    pelvis left_hip<pelvis right_hip<pelvis spine1<pelvis left_knee<left_hip right_knee<right_hip spine2<spine1
    left_ankle<left_knee right_ankle<right_knee spine3<spine2 left_foot<left_ankle right_foot<right_ankle
    neck<spine3 left_collar<spine3 right_collar<spine3 head<neck left_shoulder<left_collar
    right_shoulder<right_collar left_elbow<left_shoulder right_elbow<right_shoulder left_wrist<left_elbow
    right_wrist<right_elbow left_hand<left_wrist right_hand<right_wrist
"""
_ENDS = """
    head_top<head left_middle_tip<left_hand right_middle_tip<right_hand left_big_toe<left_foot
    right_big_toe<right_foot
"""

_FACE = "nose left_eye right_eye left_ear right_ear"
_FEET = "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
_ARMS = "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
_LEGS = "left_hip right_hip left_knee right_knee left_ankle right_ankle"
_LEFT_ARM, _RIGHT_ARM = "left_shoulder left_elbow left_wrist", "right_shoulder right_elbow right_wrist"
_LEFT_LEG, _RIGHT_LEG = "left_hip left_knee left_ankle", "right_hip right_knee right_ankle"
_LEG_TO_LEG = "right_ankle right_knee right_hip left_hip left_knee left_ankle"
_ARM_TO_ARM = "right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist"

SMPL24 = _joints("smpl24", _SMPL24)
"""SMPL's 24 joints and tree: the joints that a body pose rotates."""

SMPL29 = _joints("smpl29", _SMPL24 + _ENDS)
"""SMPL's 24 joints and the five surface points at their ends (HybrIK's 29-point skeleton)."""

COCO17 = _joints("coco17", f"{_FACE} {_ARMS} {_LEGS}")
COCO_FEET = _joints("coco_feet", _FEET)

SURFACE12 = _joints("surface12", f"{_FACE} head_top {_FEET}")
"""Points of the skin that are found on every SMPL-format body, see `humesh.body.files`."""

H36M17 = _joints("h36m17", f"pelvis {_RIGHT_LEG} {_LEFT_LEG} spine neck jaw head_top {_LEFT_ARM} {_RIGHT_ARM}")

LSP14 = _joints("lsp14", f"{_LEG_TO_LEG} {_ARM_TO_ARM} neck head_top")
"""The 14 of Human3.6M's 17 joints on which most tables of the field are measured."""

MPI_INF_3DHP17 = _joints(
    "mpi_inf_3dhp17", f"head_top neck {_RIGHT_ARM} {_LEFT_ARM} {_RIGHT_LEG} {_LEFT_LEG} pelvis spine head"
)
OPENPOSE25 = _joints(
    "openpose25",
    f"nose neck {_RIGHT_ARM} {_LEFT_ARM} pelvis {_RIGHT_LEG} {_LEFT_LEG} right_eye left_eye right_ear left_ear {_FEET}",
)

HALPE26 = _joints(
    "halpe26",
    f"{_FACE} {_ARMS} {_LEGS} head_top neck pelvis left_big_toe right_big_toe left_small_toe right_small_toe left_heel "
    "right_heel",
)
"""The body points of Halpe, which rtmlib's BodyWithFeet gives."""

MEDIAPIPE33 = _joints(
    "mediapipe33",
    """
    nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear
    mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky
    right_pinky left_index right_index left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle
    right_ankle left_heel right_heel left_foot_index right_foot_index
    """,
)

JOTR30 = _joints("jotr30", " ".join(SMPL24.names) + f" {_FACE} head_top")
"""SMPL's 24 joints, COCO's face and the top of the head: JOTR's input heatmaps."""

JOTR15 = _joints("jotr15", f"pelvis {_LEGS} neck head_top {_ARMS}")
"""JOTR's joint queries."""

OPENPOSE18 = _joints(
    "openpose18",
    f"nose neck {_RIGHT_ARM} {_LEFT_ARM} {_RIGHT_LEG} {_LEFT_LEG} right_eye left_eye right_ear left_ear",
)

SPIN24 = _joints("spin24", f"{_LEG_TO_LEG} {_ARM_TO_ARM} neck head_top pelvis thorax spine jaw head {_FACE}")
"""The 24 joints of SPIN's data sets (Multi-RoI, INT): LSP's 14, Human3.6M's and MPI-INF-3DHP's trunk, COCO's face."""

SPIN9 = _joints("spin9", "right_hip left_hip neck head_top pelvis thorax spine jaw head")
"""Those of SPIN's 24 that its `J_regressor_extra.npy` (9 x 6890) gives, in the order of its rows."""

MPII16 = _joints("mpii16", f"{_LEG_TO_LEG} pelvis thorax neck head_top {_ARM_TO_ARM}")
"""MPII's joints; what it calls the upper neck is the `neck` of LSP and SPIN."""

CROWDPOSE14 = _joints("crowdpose14", f"{_ARMS} {_LEGS} head_top neck")

POSETRACK17 = _joints("posetrack17", f"nose neck head_top left_ear right_ear {_ARMS} {_LEGS}")
"""PoseTrack's joints; `neck` is what it calls the bottom of the head. Its ears are never labelled."""

PENN13 = _joints("penn13", f"head_middle {_ARMS} {_LEGS}")
"""Penn Action's joints; its head is none of the head joints that other sets have, and so has a name of its own."""

LSP14_FACE = _joints("lsp14_face", " ".join(LSP14.names) + f" {_FACE}")
"""LSP's 14 joints and COCO's face: InstaVariety."""

MUCO21 = _joints("muco21", " ".join(MPI_INF_3DHP17.names) + " right_hand left_hand right_foot left_foot")
"""MuCo-3DHP's joints: MPI-INF-3DHP's 17, the hands and the toes (which 3DCrowdNet and JOTR take for SMPL's feet)."""

PANOPTIC19 = _joints(
    "panoptic19",
    f"neck nose pelvis {_LEFT_ARM} {_LEFT_LEG} {_RIGHT_ARM} {_RIGHT_LEG} left_eye left_ear right_eye right_ear",
)
"""CMU Panoptic's joints, its `coco19` order."""

PANOPTIC15 = _joints("panoptic15", "neck head_top " + " ".join(PANOPTIC19.names[2:15]))
"""CMU Panoptic's older joints (`mpi15`), of which it has sequences that have no others."""

LIMBS12 = _joints("limbs12", f"{_ARMS} {_LEGS}")
"""The twelve limb joints that every data set and detector shares; reprojection errors are measured on them."""

# Bones of other programs' rigs by SMPL's joints. All have SMPL's tree and rest in the T-pose, facing +z; SMPL's `hand`
# is the middle finger's knuckle.
_MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase",
    "collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand", "hand": "HandMiddle1",
}  # fmt: skip
_UNITY = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "UpperChest", "neck": "Neck", "head": "Head",
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "hand": "MiddleProximal",
}  # fmt: skip


def _renamed(name: str, bones: dict[str, str], prefix: str = "") -> JointSet:
    def bone(joint: str) -> str:
        side, _, part = joint.rpartition("_")
        return f"{prefix}{side.capitalize()}{bones[part]}"

    parents = (SMPL24.names[parent] if parent >= 0 else None for parent in SMPL24.parents)
    return JointSet(name, tuple(map(bone, SMPL24.names)), tuple(parent and bone(parent) for parent in parents))


RIGS = {"smpl": SMPL24, "mixamo": _renamed("mixamo", _MIXAMO, "mixamorig:"), "unity": _renamed("unity", _UNITY)}
"""SMPL's joints, in SMPL's order, under the bone names that retargeting in other programs looks for."""
