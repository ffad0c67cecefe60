"""The skeletons of other programs: SMPL's tree of joints under the bone names that retargeting looks for.

All three have the same tree and the same rest pose, the body's T-pose facing +z; only the names differ. SMPL's `hand`
is the middle finger's knuckle.
"""

from __future__ import annotations

from humesh.body.joints import SMPL24, JointSet

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
"""The skeletons by what `FileOptions.rig` calls them; all in SMPL's order of joints."""
