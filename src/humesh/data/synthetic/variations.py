"""From a layer of people to a photo with labels: other colours, background and occluders, and a camera's faults."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw, ImageFilter

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33
from humesh.body.pose import BodyPose
from humesh.data.detector_errors import DetectorErrors, simulate_keypoints, simulated_person
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.cameras import as_tensor, is_near_photo
from humesh.data.synthetic.figure import BOTTOM, HAIR, OTHER, SHOES, SKIN, TOP
from humesh.data.synthetic.layer import REGIONS, Layer, is_inside
from humesh.data.synthetic.paint import Backgrounds, draw_colour, draw_shape
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.people.person import Person

_JOTR, _MEDIAPIPE = slice(len(JOTR30)), slice(len(JOTR30), None)  # of a layer's points
_LIMBS = JOTR30.indices(*LIMBS12.names)
# Of a person that is still labelled: the least share of the picture, 80 of 256 x 256 px, and joints.
_LEAST_SHARE, _FEWEST_JOINTS = 80 / 256**2, 3
_DYED = {TOP: 0.5, BOTTOM: 0.5, SHOES: 0.3, OTHER: 0.3, HAIR: 0.15}
"""How often what a person wears gets another colour."""


class VariedLayers:
    """Photos of layers: sample i is layer i % stored in its variation i // stored; a video's frames vary alike.

    `frames`: of each video, 1 for photos. `variations`: how many of them the length counts. `backgrounds`: a folder of
    photos, beside drawn ones.
    """

    def __init__(
        self, layer: Callable[[int], Layer], stored: int, *, backgrounds: str | Path | None, seed: int, frames: int = 1,
        variations: int = 1,
    ) -> None:  # fmt: skip
        self.layer, self.stored, self.seed, self.frames = layer, stored, seed, frames
        self.backgrounds, self._length = Backgrounds(backgrounds), stored * variations
        self.tracks = tuple(range(i, i + frames) for i in range(0, stored, frames)) if frames > 1 else ()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if index < 0:
            raise IndexError(f"sample {index}: expected a number from 0 on.")
        variation, number = divmod(index, self.stored)
        start = number - number % self.frames
        scene, frame = default_rng([self.seed, variation, start]), default_rng([self.seed, variation, number, 1])
        first = self.layer(start) if self.frames > 1 else None
        name = f"scene {number}" + f", variation {variation}" * (variation > 0)
        return vary(self.layer(number), self.backgrounds, scene, frame, name, first)


def vary(
    layer: Layer,
    backgrounds: Backgrounds,
    scene: Generator,
    frame: Generator,
    name: str,
    first: Layer | None = None,
) -> Sample:
    """A photo of the layer. What is drawn from `scene` is the same for all frames of a video, `frame` is not.

    `first`: of a video its first frame, which says where occluders are; a frame of a video may end up with nobody
    visible.
    """
    if scene.random() < 0.5:
        layer, first = layer.mirrored(), None if first is None else first.mirrored()
    height, width = layer.code.shape
    pixels, hidden = backgrounds.draw(scene, (width, height)), np.zeros((height, width), np.uint8)
    _lay_over(pixels, _recoloured(layer, scene), layer.alpha)
    plain = pixels.copy()
    if scene.random() < 0.5:
        _occlude(pixels, hidden, layer if first is None else first, backgrounds, scene)
    visible = visible_points(layer, hidden)
    if not visible and first is None:  # nobody is left: show everything
        pixels, visible = plain, visible_points(layer, np.zeros_like(hidden))
    size = np.array([width, height])
    near = np.clip(layer.pixels[:, _MEDIAPIPE], -size, 2 * size)
    people = []
    for p, shown in visible.items():
        others2d, shown33 = near[None, [q for q in visible if q != p]], shown[None, _MEDIAPIPE].astype(np.float64)
        found = simulate_keypoints(near[[p]], shown33, MEDIAPIPE33, others2d, (width, height), DetectorErrors(), frame)
        detection = simulated_person(found.keypoints[0], MEDIAPIPE33, (width, height))
        people.append(_labelled(layer, p, detection, shown[_JOTR]))
    camera = Camera(torch.from_numpy(layer.camera))
    return Sample(Photo.of(_photographed(pixels, scene, frame), camera), tuple(people), name)


def _labelled(layer: Layer, p: int, detection: Person, visible: Bool[np.ndarray, "30"]) -> LabelledPerson:
    points3d, points2d = as_tensor(layer.points[p, _JOTR]), as_tensor(layer.pixels[p, _JOTR])
    pose = BodyPose(*(as_tensor(part[p]) for part in (layer.rotations, layer.shape, layer.translation)))
    is_near = is_near_photo(points2d, points3d[:, 2], torch.tensor(layer.code.shape[::-1]).float())
    return LabelledPerson.fully_labelled(
        detection, int(layer.identity[p]), pose, points3d, points2d, as_tensor(visible), is_near.float()
    )


def visible_points(layer: Layer, hidden: UInt8[np.ndarray, "H W"]) -> dict[int, Bool[np.ndarray, "63"]]:
    """Which points can be seen of the people who are left in the picture, by how far (0..255) each pixel is hidden."""
    owner = np.where(hidden > 127, 0, layer.code // REGIONS)
    inside = is_inside(layer.pixels, owner.shape[::-1])
    column, row = np.moveaxis(np.where(inside[..., None], layer.pixels, 0).astype(np.int64), -1, 0)
    visible = (layer.visible > 0) & inside & (hidden[row, column] < 128)
    area = np.bincount(owner.ravel(), minlength=len(visible) + 1)[1:]
    return {
        p: points
        for p, points in enumerate(visible)
        if area[p] >= _LEAST_SHARE * owner.size and points[_JOTR][list(_LIMBS)].sum() >= _FEWEST_JOINTS
    }


def _recoloured(layer: Layer, g: Generator) -> Float[np.ndarray, "H W 3"]:
    """Colours (0..255), with clothes and hair dyed anew: the shading stays, the mean of a region changes."""
    at = np.flatnonzero(layer.alpha)
    code, rgb = layer.code.ravel()[at], layer.rgb.reshape(-1, 3)[at].astype(np.float32)
    count = np.maximum(np.bincount(code, minlength=256), 1)[:, None]
    mean = np.stack([np.bincount(code, rgb[:, c], 256) for c in range(3)], axis=-1) / count + 4.0
    gain, shift = np.ones((256, 3), np.float32), np.zeros((256, 3), np.float32)
    for first in REGIONS * (1 + np.arange(len(layer.identity))):
        for region, often in _DYED.items():
            if g.random() < often:
                new, keep = 255 * draw_colour(g) * (0.5 if region == HAIR else 1), g.uniform(0.2, 1)
                dyed = first + region
                # Light surfaces darken by a gain; dark ones, whose contrast would become noise, are lifted.
                gain[dyed] = np.clip(new / mean[dyed], 0, 2.5)
                gain[dyed] = gain[dyed] * keep + (1 - keep) * gain[dyed].mean()
                shift[dyed] = 0.9 * np.clip(new - gain[dyed] * mean[dyed], 0, 255)
        gain[first + SKIN] = g.uniform(0.85, 1.1) * (1 + g.normal(0, 0.03, 3))
    colours = np.zeros((layer.alpha.size, 3), np.float32)
    colours[at] = rgb * gain[code] + shift[code]
    return colours.reshape(layer.rgb.shape)


def _lay_over(
    pixels: UInt8[np.ndarray, "H W 3"], colours: Float[np.ndarray, "H W 3"], cover: UInt8[np.ndarray, "H W"]
) -> None:
    """Paints colours (0..255) over a picture as far as they cover it (0..255), in place."""
    at = np.nonzero(cover)
    below, share = pixels[at].astype(np.float32), cover[at][:, None].astype(np.float32) / 255
    pixels[at] = below + (np.clip(colours[at], 0, 255) - below) * share + 0.5


def _occlude(
    pixels: UInt8[np.ndarray, "H W 3"],
    hidden: UInt8[np.ndarray, "H W"],
    layer: Layer,
    backgrounds: Backgrounds,
    g: Generator,
) -> None:
    """Puts things before a layer's people; both pictures change in place."""
    height, width = hidden.shape
    joints, sheet = layer.pixels[:, _JOTR][layer.visible[:, _JOTR] > 0], Image.new("L", (width, height))
    brush = ImageDraw.Draw(sheet)
    for _ in range(int(g.integers(1, 4))):
        at = g.uniform(0, 1, 2) * [width, height]
        if len(joints) and g.random() < 0.7:
            at = joints[g.integers(len(joints))] + g.normal(0, 0.08 * height, 2)
        if g.random() < 0.2:  # something at the lower edge: a table, a counter, a bush
            top, wide = min(max(at[1], 0.45 * height), height - 4), g.uniform(0.1, 0.9) * height
            brush.rectangle((at[0] - wide, top, at[0] + wide, height), fill=255)
        else:
            draw_shape(brush, g, at, g.uniform(0.05, 0.25) * height, 255)
    cover = np.asarray(sheet.filter(ImageFilter.BoxBlur(float(g.uniform(0.3, 1.5)))))
    _lay_over(pixels, backgrounds.draw(g, (width, height)) * np.float32(g.uniform(0.5, 1.3)), cover)
    np.maximum(hidden, cover, out=hidden)


def _photographed(pixels: UInt8[np.ndarray, "H W 3"], scene: Generator, g: Generator) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels as a camera gives them: tone, blur, low resolution, noise, JPEG, grey."""
    height, width = pixels.shape[:2]
    if scene.random() < 0.7:  # exposure, contrast and white balance, by one table a channel
        gamma, contrast, light = np.exp(scene.normal(0, [0.25, 0.15, 0.12]))
        tables = (np.arange(256) / 255)[:, None] ** gamma * light * np.exp(scene.normal(0, 0.06, 3))
        tables = np.clip(255 * (tables - 0.5) * contrast + 127.5, 0, 255).astype(np.uint8)
        pixels = np.stack([tables[pixels[..., c], c] for c in range(3)], axis=-1)
    image, fault = Image.fromarray(pixels), scene.random()
    if fault < 0.25:
        small = np.maximum(np.array([width, height]) * scene.uniform(0.2, 0.8), 8).astype(int).tolist()
        image = image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
    elif fault < 0.4:
        image = image.filter(ImageFilter.BoxBlur(float(scene.uniform(0.3, 1.5))))
    if scene.random() < 0.06:
        image = image.convert("L").convert("RGB")
    if scene.random() < 0.5:
        grain = scene.uniform(1, 12) * g.standard_normal((height, width, 1), np.float32)
        image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
    if scene.random() < 0.4:
        data = io.BytesIO()
        image.save(data, format="JPEG", quality=int(scene.integers(20, 90)))
        image = Image.open(data)
    return np.asarray(image)
