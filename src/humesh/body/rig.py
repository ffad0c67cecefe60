"""Points of a posed body without its mesh: skinning is linear, so a point of the surface hangs on a few joints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import PointsError
from humesh.body.joints import SMPL24, JointSet
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose

_COUNT = len(SMPL24)


@dataclass(frozen=True, eq=False)
class Rig:
    """Points x_k = sum_j turn_j (offset_kj + slope_kj shape) + share_kj joint_j on a posed body of 24 joints."""

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
                share = torch.zeros(_COUNT).double()
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
        hung = hung.unflatten(-1, (len(self.share), 3 * _COUNT))
        # sum_j turn_j h_kj is one product of 72 numbers a point with the transposed turns below one another.
        return hung @ turns.mT.flatten(1, 2) + self.share.to(slope) @ joints, joints

    @property
    def crowding(self) -> Float[Tensor, " K"]:
        """For each point, the number of points that move mostly with the same joint."""
        joint = self.share.argmax(-1)
        return (joint[:, None] == joint).sum(-1).to(self.share)
