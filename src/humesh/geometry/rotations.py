"""Rotations as matrices, 6D columns and axis-angle vectors (through roma), for any leading dimensions."""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def rotation_from_6d(six: Float[Tensor, "*g 6"]) -> Float[Tensor, "*g 3 3"]:
    """Matrix from the first column and then the second (not interleaved), made orthonormal (Zhou et al., CVPR 2019)."""
    return roma.special_gramschmidt(six.unflatten(-1, (2, 3)).mT)


def rotation_from_6d_rows(six: Float[Tensor, "*g 6"]) -> Float[Tensor, "*g 3 3"]:
    """As `rotation_from_6d`, of 3 x 2 numbers row by row: the interleaved form of HMR, SPIN, JOTR, Multi-RoI, INT."""
    return roma.special_gramschmidt(six.unflatten(-1, (3, 2)))


def rotation_to_6d(rotation: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 6"]:
    """The first column of the matrix followed by its second one."""
    return rotation[..., :, :2].mT.flatten(-2)


def rotation_from_axis_angle(vector: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3 3"]:
    """Matrix of a rotation vector (axis times angle in radians)."""
    return roma.rotvec_to_rotmat(vector)


def rotation_to_axis_angle(rotation: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 3"]:
    """Rotation vector (axis times angle in radians, angle at most pi) of a matrix."""
    return roma.rotmat_to_rotvec(rotation)


def axis_angle_rate(vector: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3 3"]:
    """How a rotation's vector v moves when the rotation R becomes R exp(d) for a small vector d: dv = rate @ d.

    The inverse right Jacobian of SO(3), I + [v]/2 + (1/a^2 - cot(a/2)/(2 a)) [v]^2 with a = |v| < 2 pi (Sola et al.,
    arXiv 1812.01537, eq. 144).
    """
    square = vector.square().sum(-1)
    small = square < 1e-4
    a = torch.where(small, torch.ones_like(square), square).sqrt()
    factor = torch.where(small, 1 / 12 + square / 720, (1 - a / 2 / torch.tan(a / 2)) / a**2)
    skew = cross_matrix(vector)
    return identity(vector) + skew / 2 + factor[..., None, None] * (skew @ skew)


def rotation_about(axis: Float[Tensor, "*#g 3"], cos: Float[Tensor, "*#g"], sin: Float[Tensor, "*#g"]) -> Tensor:
    """Matrix `*g 3 3` of the turn about a unit axis by the angle of (cos, sin), by Rodrigues' formula."""
    return (
        cos[..., None, None] * identity(axis)
        + sin[..., None, None] * cross_matrix(axis)
        + ((1 - cos)[..., None, None] * axis[..., :, None] * axis[..., None, :])
    )


def rotation_about_z(angle: Float[Tensor, "*g"]) -> Float[Tensor, "*g 3 3"]:
    """Matrix of a turn about the optical axis; positive angles turn x towards y (clockwise on the screen), radians."""
    axis = torch.tensor([0.0, 0.0, 1.0]).to(angle).expand(*angle.shape, 3)
    return rotation_about(axis, angle.cos(), angle.sin())


def identity(like: Tensor, size: int = 3) -> Float[Tensor, "N N"]:
    """The identity matrix of a tensor's dtype, made on its device: a copy to a GPU would be waited for."""
    return torch.eye(size, dtype=like.dtype, device=like.device)


def cross_matrix(vector: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3 3"]:
    """The matrix [v]x with [v]x w = v cross w."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def slerp(
    a: Float[Tensor, "*#g 3 3"], b: Float[Tensor, "*#g 3 3"], share: Float[Tensor, "*#g"]
) -> Float[Tensor, "*g 3 3"]:
    """The rotation a share (0..1) of the shortest way from `a` to `b`."""
    return a @ rotation_from_axis_angle(share[..., None] * rotation_to_axis_angle(a.mT @ b))


def rotation_from_quaternion(wxyz: Float[Tensor, "*g 4"]) -> Float[Tensor, "*g 3 3"]:
    """Matrix of a quaternion (w, x, y, z) of any length and sign; the identity for zeros."""
    w, x, y, z = wxyz.unbind(-1)
    square = wxyz.square().sum(-1)
    s = 2 / torch.where(square > 0, square, torch.ones_like(square))
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def nearest_rotation(matrix: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 3 3"]:
    """The rotation closest to a matrix (identity for zeros); of M = sum_i target_i rest_i^T it solves Wahba's problem.

    Gradients stay finite where singular values coincide (roma's own backward). While exporting, `horn_rotation`.
    """
    empty = (matrix == 0).all(-1).all(-1)[..., None, None]
    matrix = torch.where(empty, identity(matrix), matrix)
    return horn_rotation(matrix) if torch.compiler.is_exporting() else roma.special_procrustes(matrix)


def horn_rotation(matrix: Float[Tensor, "*g 3 3"]) -> Float[Tensor, "*g 3 3"]:
    """`nearest_rotation` from products alone, for formats without an SVD (ONNX); for inference, not for gradients.

    Horn, JOSA A 1987: the rotation's quaternion is the top eigenvector of a symmetric 4 x 4 matrix; here by squaring
    that matrix 16 times in float64, to 1e-9 where the two largest eigenvalues differ by a thousandth of its norm.
    """
    m = matrix.double()
    skew = m - m.mT
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    top = torch.cat([trace, axial[..., None, :]], dim=-1)
    below = torch.cat([axial[..., :, None], m + m.mT - trace * identity(m)], dim=-1)
    power = torch.cat([top, below], dim=-2)
    norm = power.square().sum((-2, -1), keepdim=True).sqrt().clamp(min=1e-150)
    power = power / norm + identity(m, 4)  # no eigenvalue is below -1 times the norm
    for _ in range(16):
        power = power @ power
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    best = power.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    quaternion = power.gather(-2, best.expand(*best.shape[:-1], 4))[..., 0, :]
    return rotation_from_quaternion(quaternion).to(matrix)
