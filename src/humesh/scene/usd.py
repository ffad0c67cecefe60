"""USD: the people of a video as UsdSkel skeletons with skinned meshes and animation; needs `pip install "humesh[usd]"`.

Metres, y up: the half turn about x of the camera frame is that of the prim /humesh/camera_frame, below which all stays
as in the result. Time codes are true seconds after the video's first frame times its rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.errors import MissingPackageError
from humesh.scene.gltf import continuous, presence, quaternions, skin_weights
from humesh.scene.mocap import retimed
from humesh.scene.render import colours
from humesh.scene.result import PLAIN, FileOptions, Motion, VideoResult, exact

_APERTURE = 36.0  # the film's width in USD's tenths of units; only its ratio to the focal length matters


def write_usd(result: VideoResult, path: str | Path, options: FileOptions = PLAIN) -> None:
    """Writes everybody's motion and the video's camera as a binary USD file; MissingPackageError without usd-core."""
    try:
        from pxr import Gf, Usd, UsdGeom
    except ImportError:
        raise MissingPackageError('USD needs the package usd-core; run: pip install "humesh[usd]"') from None
    result, rate = retimed(result, options), options.fps or result.fps
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    codes = np.round((result.times - result.times[:1]) * rate, 6)
    stage.SetStartTimeCode(0.0)
    stage.SetEndTimeCode(float(codes[-1]) if len(codes) else 0.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/humesh").GetPrim())
    (width, height), (x, y) = result.size, result.camera.principal_point_px.tolist()
    lens, scale = UsdGeom.Camera.Define(stage, "/humesh/video_camera"), _APERTURE / width
    lens.CreateFocalLengthAttr(float(result.camera.focal_px) * scale)
    lens.CreateHorizontalApertureAttr(_APERTURE)
    lens.CreateVerticalApertureAttr(height * scale)
    lens.CreateHorizontalApertureOffsetAttr((width / 2 - x) * scale)
    lens.CreateVerticalApertureOffsetAttr((y - height / 2) * scale)
    lens.CreateClippingRangeAttr(Gf.Vec2f(0.01, 1000.0))
    frame = UsdGeom.Xform.Define(stage, "/humesh/camera_frame")
    lift = options.lift(result.body, *(motion.pose for motion in result.tracks))
    for placed in (lens, frame):
        placed.AddTranslateOp().Set(Gf.Vec3d(0, lift, 0))
    frame.AddRotateXOp().Set(180.0)
    for motion, colour in zip(result.tracks, colours(len(result.tracks)), strict=True):
        _add(stage, result, motion, codes, colour)
    stage.GetRootLayer().Save()


def _add(stage: Any, result: VideoResult, motion: Motion, codes: np.ndarray, colour: np.ndarray) -> None:
    from pxr import Gf, Sdf, UsdGeom, UsdSkel, Vt

    body, pose = result.body, motion.pose.map(exact)
    shape = pose.shape[0]
    rest = body.rest_joints(shape)
    above = torch.tensor([max(parent, 0) for parent in SMPL24.parents])
    root = torch.tensor([[float(parent < 0)] for parent in SMPL24.parents], dtype=torch.float64)
    offsets = rest - rest[above] * (1 - root)
    paths: list[str] = []  # as USD names joints: with all joints above, "pelvis/left_hip/left_knee"
    for joint, parent in zip(SMPL24.names, SMPL24.parents, strict=True):
        paths.append(f"{paths[parent]}/{joint}" if parent >= 0 else joint)
    names = Vt.TokenArray(paths)
    name = f"/humesh/camera_frame/person{motion.track}"
    person = UsdSkel.Root.Define(stage, name)
    person.GetPrim().CreateAttribute("humesh:betas", Sdf.ValueTypeNames.DoubleArray).Set(shape.tolist())
    visibility = person.CreateVisibilityAttr()
    for key, there in zip(*presence(motion, len(codes)), strict=True):
        visibility.Set(UsdGeom.Tokens.inherited if there else UsdGeom.Tokens.invisible, float(codes[key]))
    skeleton = UsdSkel.Skeleton.Define(stage, f"{name}/skeleton")
    skeleton.CreateJointsAttr(names)
    skeleton.CreateBindTransformsAttr(_moved(rest))
    skeleton.CreateRestTransformsAttr(_moved(offsets))
    animation = UsdSkel.Animation.Define(stage, f"{name}/motion")
    animation.CreateJointsAttr(names)
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(SMPL24)))
    turns = continuous(quaternions(pose.rotations).numpy())  # x y z w, which is how USD holds them, too
    places = (offsets + root * pose.translation[:, None]).numpy()
    rotations, translations = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    for code, turn, place in zip(codes[motion.frames].tolist(), turns, places, strict=True):
        rotations.Set(Vt.QuatfArray.FromNumpy(turn.astype(np.float32)), code)
        translations.Set(Vt.Vec3fArray.FromNumpy(place.astype(np.float32)), code)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    mesh = UsdGeom.Mesh.Define(stage, f"{name}/mesh")
    faces = np.asarray(body.faces, dtype=np.int32)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(body.rest_vertices(shape).numpy().astype(np.float32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.reshape(-1)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDisplayColorAttr([Gf.Vec3f(*(float(c) ** 2.2 for c in colour))])  # linear light
    joints, weights = skin_weights(exact(body.weights).numpy().T)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    each = joints.shape[1]
    binding.CreateJointIndicesPrimvar(False, each).Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).reshape(-1)))
    binding.CreateJointWeightsPrimvar(False, each).Set(Vt.FloatArray.FromNumpy(weights.reshape(-1)))
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))


def _moved(places: Tensor) -> Any:
    """Transforms without a turn; USD multiplies row vectors, so that places are the last row."""
    from pxr import Gf, Vt

    return Vt.Matrix4dArray([Gf.Matrix4d(1).SetTranslate(Gf.Vec3d(*place)) for place in places.tolist()])
