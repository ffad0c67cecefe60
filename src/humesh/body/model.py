"""The skinned body: shape blending, forward kinematics and linear blend skinning of SMPL-format bodies."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.body.files import BodyData, PointsError, read_body
from humesh.body.joints import JOINT_SETS, SMPL24, JointSet
from humesh.body.kinematics import forward_kinematics
from humesh.body.pose import Bodies, BodyPose, PoseError


class BodyModel(nn.Module):
    """BodyPose -> Bodies. Differentiable in every input; works in the dtype and on the device of the pose.

    Loper et al., SMPL, SIGGRAPH Asia 2015, eq. 1-10. Buffers are stored coordinate by coordinate (x, y, z planes) so
    that blending and skinning are matrix products and long contiguous multiply-adds.
    """

    template: Tensor  # 3V
    shape_directions: Tensor  # S x 3V
    rest_template: Tensor  # J x 3, the joints of the mean body
    rest_directions: Tensor  # S x J x 3
    weights: Tensor  # J x V
    pose_directions: Tensor  # P x 3V

    def __init__(self, data: BodyData) -> None:
        super().__init__()
        self.data, self.name, self.faces = data, data.name, data.faces
        self.keypoint_names = tuple(data.keypoint_regressors)

        def buffer(name: str, array: object) -> None:
            self.register_buffer(name, torch.as_tensor(array, dtype=torch.float32).contiguous(), persistent=False)

        vertices = len(data.template)
        template, shapes = torch.as_tensor(data.template), torch.as_tensor(data.shape_directions)
        regressor = torch.as_tensor(data.joint_regressor)
        buffer("template", template.T.flatten())
        buffer("shape_directions", shapes.permute(2, 1, 0).flatten(1))
        buffer("rest_template", regressor @ template)
        buffer("rest_directions", torch.einsum("jv,vcs->sjc", regressor, shapes))
        buffer("weights", torch.as_tensor(data.weights).T)
        bends = torch.zeros(vertices, 3, 0) if data.pose_directions is None else torch.as_tensor(data.pose_directions)
        buffer("pose_directions", bends.permute(2, 1, 0).flatten(1))
        for name, rows in data.keypoint_regressors.items():
            buffer(f"regressor_{name}", rows)

    @classmethod
    def load(cls, body: str | Path = "open", shapes: int = 10) -> BodyModel:
        """A shipped body ("open", "open-low") or one from an SMPL .pkl or .npz; raises BodyFileError."""
        return cls(read_body(body, shapes))

    def on(self, device: torch.device) -> BodyModel:
        """The body in a device's memory: itself where it is there, else another one."""
        return self if self.template.device == device else copy.deepcopy(self, {id(self.data): self.data}).to(device)

    @property
    def shapes(self) -> int:
        """How many shape coefficients the body has."""
        return self.shape_directions.shape[0]

    def rest_joints(self, shape: Float[Tensor, "*g S"]) -> Float[Tensor, "*g J 3"]:
        """Joints of the T-posed body of a shape, metres; linear in the shape."""
        self._check_shape(shape)
        return self.rest_template.to(shape) + torch.einsum("...s,sjc->...jc", shape, self.rest_directions.to(shape))

    def rest_vertices(self, shape: Float[Tensor, "*g S"]) -> Float[Tensor, "*g V 3"]:
        """Vertices of the T-posed body of a shape, metres."""
        self._check_shape(shape)
        return (self.template.to(shape) + shape @ self.shape_directions.to(shape)).unflatten(-1, (3, -1)).mT

    def unposed_vertices(self, pose: BodyPose) -> Float[Tensor, "*g V 3"]:
        """The T-posed surface that skinning starts from, metres: of the pose's shape, with its correctives if any."""
        surface = self.rest_vertices(pose.shape)
        if not len(self.pose_directions):
            return surface
        bend = pose.rotations[..., 1:, :, :] - torch.eye(3).to(pose.shape)
        return surface + (bend.flatten(-3) @ self.pose_directions.to(pose.shape)).unflatten(-1, (3, -1)).mT

    def joints(self, pose: BodyPose) -> Float[Tensor, "*g J 3"]:
        """The posed joints alone, without the mesh, metres, camera frame."""
        _, joints = forward_kinematics(pose.rotations, self.rest_joints(pose.shape))
        return joints + pose.translation[..., None, :]

    def forward(
        self, pose: BodyPose | Tensor, betas: Tensor | None = None, translation: Tensor | None = None
    ) -> Bodies:
        """The posed surface and joints, metres, camera frame, of a BodyPose or of SMPL's parameters (`BodyPose.of`)."""
        if not isinstance(pose, BodyPose):
            pose = BodyPose.of(pose, torch.zeros(self.shapes).to(pose) if betas is None else betas, translation)
        shape, group = pose.shape, pose.rotations.shape[:-3]
        rest = self.rest_joints(shape)
        turns, joints = forward_kinematics(pose.rotations, rest)
        shift = joints + pose.translation[..., None, :] - (turns @ rest[..., None])[..., 0]
        x, y, z = self.unposed_vertices(pose).expand(*group, -1, 3).unbind(-1)
        affine = torch.cat([turns, shift[..., None]], dim=-1).flatten(-2).mT  # *g 12 J
        blend = (affine @ self.weights.to(shape)).unflatten(-2, (3, 4))  # *g 3 4 V
        planes = blend[..., 3, :] + blend[..., 0, :] * x[..., None, :]
        planes = planes + blend[..., 1, :] * y[..., None, :] + blend[..., 2, :] * z[..., None, :]
        return Bodies(planes.mT, joints + pose.translation[..., None, :], self.faces)

    def keypoints(self, vertices: Float[Tensor, "*g V 3"], joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
        """Points of a joint set on posed vertices, metres; PointsError where the body file has no such regressor."""
        if joint_set.name not in self.keypoint_names:
            raise PointsError(
                f"body {self.name!r} has no regressor for joint set {joint_set.name!r}; it has: "
                f"{', '.join(self.keypoint_names) or 'none'} (of {', '.join(JOINT_SETS)})."
            )
        return self.get_buffer(f"regressor_{joint_set.name}").to(vertices) @ vertices

    def points(self, bodies: Bodies, joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
        """Points of any joint set on posed bodies, metres, camera frame, put together by name.

        Where each comes from: `BodyData.regressor_of`. PointsError where the body lacks one.
        """
        if joint_set.name in self.keypoint_names:
            return self.keypoints(bodies.vertices, joint_set)
        self.data.check_has(joint_set)
        found = []
        for name in joint_set.names:
            if (source := self.data.regressor_of(name, joint_set)) is None:
                found.append(bodies.joints[..., SMPL24.index(name), :])
            else:
                row = self.get_buffer(f"regressor_{source.name}")[source.index(name)]
                found.append(row.to(bodies.vertices) @ bodies.vertices)
        return torch.stack(found, dim=-2)

    def _check_shape(self, shape: Tensor) -> None:
        if shape.shape[-1] != self.shapes:
            raise PoseError(f"body {self.name!r}: expected {self.shapes} shape coefficients, got {shape.shape[-1]}.")


@dataclass(frozen=True, eq=False)
class Rig:
    """Points of a posed body without its mesh: skinning is linear, so a point of the surface hangs on a few joints.

    x_k = sum_j turn_j (offset_kj + slope_kj shape) + share_kj joint_j, for many bodies at once.
    """

    offset: Float[Tensor, "K 24 3"]
    slope: Float[Tensor, "S K 24 3"]
    share: Float[Tensor, "K 24"]

    @classmethod
    def of(cls, body: BodyModel, joint_set: JointSet) -> tuple[Rig, list[int]]:
        """The rig of a joint set's points and the positions in the set of those that the body has; float64.

        Points come from where `BodyModel.points` takes them; pose correctives, millimetres there, are left out.
        """
        data, weights = body.data, torch.as_tensor(body.data.weights).double()
        template, directions = torch.as_tensor(data.template).double(), torch.as_tensor(data.shape_directions).double()
        joints, moves = body.rest_template.double().cpu(), body.rest_directions.double().cpu()  # 24 3, S 24 3
        parts, kept = [], []
        for position, name in enumerate(joint_set.names):
            source = data.regressor_of(name, joint_set)
            if source is not None:
                row = torch.as_tensor(data.keypoint_regressors[source.name][source.index(name)]).double()
                used = row.nonzero()[:, 0]
                part = row[used, None] * weights[used]  # V 24: how much of the point hangs on vertex and joint
                share = part.sum(0)
                slope = torch.einsum("vj,vcs->sjc", part, directions[used]) - share[:, None] * moves
                parts.append((part.T @ template[used] - share[:, None] * joints, slope, share))
            elif name in SMPL24.names:
                share = torch.zeros(len(SMPL24)).double()
                share[SMPL24.index(name)] = 1.0
                parts.append((torch.zeros_like(joints), torch.zeros_like(moves), share))
            else:
                continue
            kept.append(position)
        if not kept:
            raise PointsError(f"body {body.name!r}: expected some point of joint set {joint_set.name!r}, it has none.")
        offsets, slopes, shares = zip(*parts, strict=True)
        return cls(torch.stack(offsets), torch.stack(slopes, dim=1), torch.stack(shares)), kept

    def on(self, device: torch.device) -> Rig:
        """The rig in a device's memory."""
        return Rig(self.offset.to(device), self.slope.to(device), self.share.to(device))

    def points(self, body: BodyModel, pose: BodyPose) -> tuple[Float[Tensor, "P K 3"], Float[Tensor, "P 24 3"]]:
        """The points and the 24 joints of posed bodies, metres, camera frame; without the mesh, for many at once."""
        turns, joints = forward_kinematics(pose.rotations, body.rest_joints(pose.shape))
        joints = joints + pose.translation[:, None]
        slope = self.slope.to(pose.shape).flatten(1)
        hung = self.offset.to(slope).flatten() + pose.shape @ slope
        hung = hung.unflatten(-1, (len(self.share), 3 * len(SMPL24)))
        # sum_j turn_j h_kj is one product of 72 numbers a point with the transposed turns below one another.
        return hung @ turns.mT.flatten(1, 2) + self.share.to(slope) @ joints, joints

    @property
    def crowding(self) -> Float[Tensor, " K"]:
        """For each point, the number of points that move mostly with the same joint."""
        joint = self.share.argmax(-1)
        return (joint[:, None] == joint).sum(-1).to(self.share)
