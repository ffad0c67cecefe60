"""Pictures and the film of a recovery."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from humesh.scene.pictures import (
    BACKGROUND,
    VIEWS,
    FloorView,
    LivePictures,
    contact_sheet,
    error_rings,
    facing,
    framing,
    overlay,
    write_turntable,
)
from humesh.scene.render import PALETTE, Stage, colours
from humesh.scene.result import Result


def test_overlay_changes_the_photo_only_under_the_bodies(recovery: Result) -> None:
    picture = overlay(recovery)
    height, width = recovery.photo.pixels.shape[:2]
    changed = np.argwhere((picture != recovery.photo.pixels).any(-1))[:, ::-1]
    corners = recovery.photo.camera.project(recovery.bodies.vertices.double()).numpy().reshape(-1, 2)
    assert picture.shape == (height, width, 3)
    assert len(changed) > 100
    assert (changed >= np.floor(corners.min(0))).all()
    assert (changed <= np.ceil(corners.max(0))).all()


def test_nobody(nobody: Result, tmp_path: Path) -> None:
    assert np.array_equal(overlay(nobody), nobody.photo.pixels)
    sheet = contact_sheet(nobody)
    assert sheet.shape == (120, 160 + 2 + 90 + 2 + 90, 3)  # the photo's height; views are 3 : 4
    assert (sheet[:, -90:] == BACKGROUND.astype(np.uint8)).all()
    assert (sheet[:, 162:252] == BACKGROUND.astype(np.uint8)).all()
    write_turntable(nobody, tmp_path / "nobody.mp4", seconds=0.2, size=(32, 32))


def test_somebody_live_keeps_their_colour_when_others_come_and_go(recovery: Result, nobody: Result) -> None:
    draw = LivePictures(recovery.body, recovery.photo.size)
    assert np.array_equal(draw(nobody), nobody.photo.pixels)
    pictures = []
    for tracks in ((3, 5), (9, 5), (3, 6)):
        people = [replace(person, track=track) for person, track in zip(recovery.people, tracks, strict=True)]
        pictures.append(draw(replace(recovery, people=people)).astype(int))
    alike = [(pictures[0] == other).all(-1) for other in pictures[1:]]
    painted = (pictures[0] != recovery.photo.pixels).any(-1)
    for kept, other in (alike, alike[::-1]):  # the second person's pixels stay, then the first one's
        assert (painted & kept & ~other).sum() > 100


def test_views_hold_everybody(recovery: Result) -> None:
    stage = Stage(recovery.bodies.vertices, recovery.bodies.faces, colours(len(recovery.people)))
    sheet = contact_sheet(recovery)
    views = [
        FloorView(stage.points, VIEWS[name], size).picture(stage)
        for name, size in (("front", (70, 90)), ("side", (90, 70)), ("top", (70, 90)))
    ]
    for view in (*views, sheet[:, 162:252], sheet[:, 254:]):
        paint = np.ptp(view.astype(int), axis=-1) > 25  # the floor is grey, the people are coloured
        rows, columns = np.nonzero(paint)
        assert paint.mean() > 0.02
        assert 0 < rows.min() < rows.max() < view.shape[0] - 1
        assert 0 < columns.min() < columns.max() < view.shape[1] - 1


@pytest.mark.parametrize("turn", [facing(0.0, 0.0), facing(1.0, 0.2), VIEWS["top"]])
def test_framing_touches_the_border_and_holds_all(turn: np.ndarray) -> None:
    points = np.random.default_rng(0).normal(size=(200, 3)) * [1, 2, 5] + [3, 0, 40]
    across, along = 0.3, 0.2
    seen = (points - framing(points, turn, across, along)) @ turn
    reach = np.abs(seen[:, :2]) / seen[:, 2:] / [across, along]
    assert seen[:, 2].min() > 0
    assert reach.max() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_side_view_shows_near_people_on_the_left() -> None:
    ahead = np.array([0.0, 0.0, 1.0])  # away from the photo's camera
    np.testing.assert_allclose(ahead @ facing(math.pi / 2, 0.0), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(ahead @ VIEWS["top"], [0, -1, 0], atol=1e-12)  # up in the view from above


def test_colours_differ_for_everybody_and_come_again() -> None:
    assert np.array_equal(colours(10)[8:], PALETTE[:2])
    assert colours(0).shape == (0, 3)


# Viénot, Brettel and Mollon 1999: what protanopes and deuteranopes see of linear RGB.
_BLINDNESS = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("kind", list(_BLINDNESS))
def test_the_first_colours_differ_for_colour_blind_viewers(kind: str) -> None:
    seen = np.clip(PALETTE[:5] ** 2.2 @ np.array(_BLINDNESS[kind]).T, 0, 1) ** (1 / 2.2)
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.08  # 20 of 255 steps


def test_error_rings_are_as_large_as_the_errors_and_red_where_these_are(recovery: Result) -> None:
    pelvis = recovery.bodies.joints[0, 0]
    middle = recovery.photo.camera.project(pelvis[None])[0].numpy()
    for error_m, colour in ((0.05, (170, 220, 40)), (0.15, (255, 0, 40)), (0.3, (255, 0, 40))):
        errors = torch.full((2, 24), 1e-4)
        errors[0, 0] = error_m
        rings = error_rings(replace(recovery, expected_error_m=errors))
        ring = np.argwhere((abs(rings.astype(int) - colour) <= 1).all(-1))[:, ::-1] + 0.5
        radius = error_m * float(recovery.photo.camera.focal_px / pelvis[2])
        away = np.linalg.norm(ring - middle, axis=1)
        assert len(ring) > 3 * radius
        assert (abs(away - radius) < 2.5).all()


def test_without_expected_errors_the_picture_says_so(recovery: Result) -> None:
    where = (error_rings(recovery) != overlay(recovery)).any(-1)
    assert where[:20].any()
    assert not where[20:].any()


def test_turntable(recovery: Result, tmp_path: Path) -> None:
    write_turntable(recovery, tmp_path / "t.mp4", seconds=0.4, fps=20, size=(65, 49))
    with av.open(str(tmp_path / "t.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
        assert float(film.duration / av.time_base) == pytest.approx(0.4, abs=0.01)
    assert len(frames) == 8
    assert frames[0].shape == (50, 66, 3)
    assert np.abs(frames[0].astype(int) - frames[4]).max() > 30
