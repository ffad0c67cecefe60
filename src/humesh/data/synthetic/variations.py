"""From a layer of people to a photo with labels: other colours, background and occluders, and a camera's faults."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.pose import BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.backgrounds import Backgrounds
from humesh.data.synthetic.figure import BOTTOM, HAIR, OTHER, SHOES, SKIN, TOP
from humesh.data.synthetic.layer import REGIONS, Layer, inside, near_view, projected
from humesh.data.synthetic.paint import colour
from humesh.data.synthetic.poses import mirrored
from humesh.data.synthetic.seen import seen_person
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.people.person import Person

_LIMBS = JOTR30.indices(*LIMBS12.names)
_MIRROR, _LANDMARK_MIRROR = list(JOTR30.mirror), list(MEDIAPIPE33.mirror)
# Of a person that is still labelled: the least share of the picture, 80 of 256 x 256 px, and joints.
_LEAST_SHARE, _FEWEST_JOINTS = 80 / 256**2, 3


def vary(
    layer: Layer,
    backgrounds: Backgrounds,
    scene: Generator,
    frame: Generator,
    name: str,
    others: Sequence[Layer] = (),
    first: Layer | None = None,
) -> Sample:
    """A photo of the layer. What is drawn from `scene` is the same for all frames of a video, `frame` is not.

    `others`: layers whose people may stand before these ones, unlabelled. `first`: of a video its first frame, which
    says where occluders are; a frame of a video may end up with nobody to be seen.
    """
    height, width = layer.code.shape
    flip, window = scene.random() < 0.5, _window(scene, width, height)
    if flip:
        layer, first = _flipped(layer), None if first is None else _flipped(first)
    photo = backgrounds.draw(scene, (width, height)).copy()
    at, colours = _recoloured(layer, scene)
    _lay_over(photo, at, colours, layer.alpha.reshape(-1)[at])
    hidden = np.zeros((height, width), np.uint8)
    plain = photo
    if scene.random() < 0.5:
        photo = photo.copy()
        anchor = layer if first is None else first
        _occlude(photo, hidden, anchor.points2d[anchor.visible > 0], backgrounds, scene, others)
    labels = _labels(layer, hidden, window)
    if not labels and first is None:  # nobody is left: show everything
        window, photo = (0, 0, width, height), plain
        labels = _labels(layer, np.zeros_like(hidden), window)
    x0, y0, x1, y1 = window
    pixels = _taken(photo[y0:y1, x0:x1], scene, frame)
    camera = layer.camera.copy()
    camera[:2, 2] -= [x0, y0]
    points, landmarks = layer.points2d - [x0, y0], projected(layer.camera, layer.landmarks3d) - [x0, y0]
    people = []
    for p, (box, visible, seen_marks) in labels.items():
        others2d = [landmarks[q] for q in labels if q != p]
        size = (x1 - x0, y1 - y0)
        seen = seen_person(landmarks[p], seen_marks, box, others2d, size, frame)
        people.append(_person(layer, p, points[p], visible, seen, size))
    return Sample(Photo.of(pixels, Camera(torch.from_numpy(camera))), tuple(people), name)


def _window(g: Generator, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the picture that the photo shows: mostly all, else cut at some edges."""
    if g.random() < 0.7:
        return 0, 0, width, height
    low = g.uniform(0, 0.3, 2) * (g.random(2) < [0.5, 0.25])  # heads are cut off less often
    high = g.uniform(0, 0.3, 2) * (g.random(2) < 0.5)
    size = np.array([width, height])
    (x0, y0), (x1, y1) = (low * size).astype(int).tolist(), (size - high * size).astype(int).tolist()
    return x0, y0, x1, y1


def _flipped(layer: Layer) -> Layer:
    """The layer in a mirror; its people, camera and pixels."""
    flip = np.array([-1.0, 1.0, 1.0])
    camera = layer.camera.copy()
    camera[0, 2] = layer.code.shape[1] - camera[0, 2]
    return Layer(
        layer.rgb[:, ::-1], layer.alpha[:, ::-1], layer.code[:, ::-1], camera, mirrored(layer.rotations), layer.shape,
        layer.translation * flip, layer.points3d[:, _MIRROR] * flip, layer.visible[:, _MIRROR],
        layer.landmarks3d[:, _LANDMARK_MIRROR] * flip, layer.landmarks_visible[:, _LANDMARK_MIRROR], layer.identity,
    )  # fmt: skip


def _recoloured(layer: Layer, g: Generator) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, "N 3"]]:
    """Covered pixels (flat positions) and their colours (0..255), with clothes and hair dyed anew.

    The shading stays, the mean colour of a region changes.
    """
    at = np.flatnonzero(layer.alpha)
    code, rgb = layer.code.reshape(-1)[at], layer.rgb.reshape(-1, 3)[at].astype(np.float32)
    count = np.maximum(np.bincount(code, minlength=256), 1)[:, None]
    mean = np.stack([np.bincount(code, rgb[:, c], 256) for c in range(3)], axis=-1) / count + 4.0
    gain, shift = np.ones((256, 3), np.float32), np.zeros((256, 3), np.float32)
    for p in range(len(layer.identity)):
        for region, often in ((TOP, 0.5), (BOTTOM, 0.5), (SHOES, 0.3), (OTHER, 0.3), (HAIR, 0.15)):
            if g.random() > often:
                continue
            new, keep, dyed = 255 * colour(g) * (0.5 if region == HAIR else 1), g.uniform(0.2, 1.0), _code(p, region)
            # Light surfaces darken by a gain; dark ones, whose contrast would become noise, are lifted.
            gain[dyed] = np.clip(new / mean[dyed], 0, 2.5)
            gain[dyed] = gain[dyed] * keep + (1 - keep) * gain[dyed].mean()
            shift[dyed] = 0.9 * np.clip(new - gain[dyed] * mean[dyed], 0, 255)
        gain[_code(p, SKIN)] = g.uniform(0.85, 1.1) * (1 + g.normal(0, 0.03, 3))
    return at, np.clip(rgb * gain[code] + shift[code], 0, 255)


def _code(person: int, region: int) -> int:
    return REGIONS * (1 + person) + region


def _lay_over(
    photo: UInt8[np.ndarray, "H W 3"],
    at: Int[np.ndarray, " N"],
    colours: Float[np.ndarray, "N 3"],
    cover: UInt8[np.ndarray, " N"],
) -> None:
    """Paints colours (0..255) over some pixels (flat positions) of a picture, in place."""
    flat = photo.reshape(-1, 3)
    below = flat[at].astype(np.float32)
    flat[at] = (below + (colours - below) * (cover[:, None].astype(np.float32) / 255) + 0.5).astype(np.uint8)


def _occlude(
    photo: UInt8[np.ndarray, "H W 3"],
    hidden: UInt8[np.ndarray, "H W"],
    joints: Float[np.ndarray, "K 2"],
    backgrounds: Backgrounds,
    g: Generator,
    others: Sequence[Layer],
) -> None:
    """Puts things before people with these joints (px); `hidden` tells how far each pixel is, 0..255. Both in place."""
    height, width = photo.shape[:2]
    sheet = Image.new("L", (width, height))
    brush = ImageDraw.Draw(sheet)
    for _ in range(int(g.integers(1, 4))):
        if len(joints) and g.random() < 0.7:
            x, y = joints[g.integers(len(joints))] + g.normal(0, 0.08 * height, 2)
        else:
            x, y = g.uniform(0, 1, 2) * [width, height]
        w, h = g.uniform(0.03, 0.22, 2) * height
        kind = g.integers(5)
        if kind == 0:
            brush.ellipse((x - w, y - h, x + w, y + h), fill=255)
        elif kind == 1:
            brush.rectangle((x - w, y - h, x + w, y + h), fill=255)
        elif kind == 2:  # a post, a rail, an arm
            far = g.normal(0, height, 2)
            brush.line(
                (x - far[0], y - far[1], x + far[0], y + far[1]), fill=255, width=int(g.uniform(0.02, 0.12) * height)
            )
        elif kind == 3:
            angles = np.sort(g.uniform(0, 2 * np.pi, int(g.integers(4, 10))))
            radii = g.uniform(0.5, 1.4, len(angles))
            corners = np.stack([x + w * radii * np.cos(angles), y + h * radii * np.sin(angles)], -1)
            brush.polygon(corners.ravel().tolist(), fill=255)
        else:  # something at the lower edge: a table, a counter, a bush
            brush.rectangle((x - 4 * w, min(max(y, 0.45 * height), height - 4), x + 4 * w, height), fill=255)
    cover = np.asarray(sheet.filter(ImageFilter.BoxBlur(float(g.uniform(0.3, 1.5)))))
    texture = backgrounds.draw(g, (width, height), whole=False).reshape(-1, 3)
    at = np.flatnonzero(cover)
    _lay_over(photo, at, np.clip(texture[at] * np.float32(g.uniform(0.5, 1.3)), 0, 255), cover.reshape(-1)[at])
    np.maximum(hidden, cover, out=hidden)
    for front in others:
        step = int(g.integers(-width // 2, width // 2))
        cover = np.roll(front.alpha, step, axis=1)
        at = np.flatnonzero(cover)
        colours = np.roll(front.rgb, step, axis=1).reshape(-1, 3)[at].astype(np.float32)
        _lay_over(photo, at, colours, cover.reshape(-1)[at])
        np.maximum(hidden, cover, out=hidden)


def _labels(
    layer: Layer, hidden: UInt8[np.ndarray, "H W"], window: tuple[int, int, int, int]
) -> dict[int, tuple[Float[np.ndarray, "4"], Bool[np.ndarray, "30"], Bool[np.ndarray, "33"]]]:
    """Of the people that can still be seen: box (px of the window), visible joints and landmarks."""
    x0, y0, x1, y1 = window
    owner = np.where(hidden[y0:y1, x0:x1] > 127, 0, layer.code[y0:y1, x0:x1] // REGIONS)
    points = np.concatenate([layer.points2d, projected(layer.camera, layer.landmarks3d)], axis=1)
    within = inside(points - [x0, y0], (x1 - x0, y1 - y0))
    spot = np.where(within[..., None], points, 0).astype(np.int64)
    visible = np.concatenate([layer.visible, layer.landmarks_visible], axis=1) > 0
    visible &= within & (hidden[spot[..., 1], spot[..., 0]] < 128)
    found = {}
    for p in range(len(layer.identity)):
        mask = owner == p + 1
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if not len(rows) or mask.sum() < _LEAST_SHARE * layer.code.size or visible[p, _LIMBS].sum() < _FEWEST_JOINTS:
            continue
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
        found[p] = box, visible[p, : len(JOTR30)], visible[p, len(JOTR30) :]
    return found


def _taken(pixels: UInt8[np.ndarray, "h w 3"], scene: Generator, g: Generator) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels as a camera gives them: tone, blur, low resolution, noise, JPEG, grey."""
    height, width = pixels.shape[:2]
    tone, fault = scene.random(), scene.random()
    if tone < 0.7:  # exposure, contrast and white balance, by one table a channel
        level = np.arange(256) / 255
        gamma, contrast = np.exp(scene.normal(0, 0.25)), np.exp(scene.normal(0, 0.15))
        gains = np.exp(scene.normal(0, 0.12)) * np.exp(scene.normal(0, 0.06, 3))
        tables = 255 * ((level**gamma)[:, None] * gains - 0.5) * contrast + 127.5
        tables = np.clip(tables, 0, 255).astype(np.uint8)
        pixels = np.stack([tables[pixels[..., c], c] for c in range(3)], axis=-1)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if fault < 0.25:
        small = np.maximum(np.array([width, height]) * scene.uniform(0.2, 0.8), 8).astype(int).tolist()
        image = image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
    elif fault < 0.4:
        image = image.filter(ImageFilter.BoxBlur(float(scene.uniform(0.3, 1.5))))
    grey = scene.random() < 0.06
    if grey:
        image = image.convert("L").convert("RGB")
    if scene.random() < 0.5:
        pixels = _noisy(np.asarray(image), float(scene.uniform(1, 12)), g)
        image = Image.fromarray(pixels)
    if scene.random() < 0.4:
        data = io.BytesIO()
        image.save(data, format="JPEG", quality=int(scene.integers(20, 90)))
        image = Image.open(data)
    return np.asarray(image)


_GRAIN = np.random.default_rng(5).normal(0, 1, 1 << 18).astype(np.float32)


def _noisy(pixels: UInt8[np.ndarray, "h w 3"], strength: float, g: Generator) -> UInt8[np.ndarray, "h w 3"]:
    """With noise of this standard deviation, cut from a stored stretch of it (drawing it takes 2 ms)."""
    start = int(g.integers(len(_GRAIN)))
    turns = -(-(pixels.size + start) // len(_GRAIN))
    grain = (np.tile(_GRAIN, turns) if turns > 1 else _GRAIN)[start : start + pixels.size]
    return np.clip(pixels + strength * grain.reshape(pixels.shape), 0, 255).astype(np.uint8)


def _person(
    layer: Layer, p: int, points: np.ndarray, visible: np.ndarray, seen: Person, size: tuple[int, int]
) -> LabelledPerson:
    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    told = near_view(points, layer.points3d[p, :, 2], size)
    return LabelledPerson(
        seen=seen,
        identity=int(layer.identity[p]),
        pose=BodyPose(tensor(layer.rotations[p]), tensor(layer.shape[p]), tensor(layer.translation[p])),
        pose_weight=torch.ones(len(SMPL24)),
        shape_weight=torch.tensor(1.0),
        translation_weight=torch.tensor(1.0),
        joint_set=JOTR30,
        points3d=tensor(layer.points3d[p]),
        points3d_weight=torch.ones(len(JOTR30)),
        points2d=tensor(points),
        points2d_weight=tensor(told),
        visible=tensor(visible),
    )
