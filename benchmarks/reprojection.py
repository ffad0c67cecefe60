"""How far the bodies' 12 limb joints fall from the detector's own 2D landmarks, in per cent of the box's longer side.

Run: python benchmarks/reprojection.py PHOTO... (default: scikit-image's camera). This tells whether the mesh follows
the landmarks, not whether these are right.
"""

from __future__ import annotations

import argparse

import numpy as np
from skimage.data import camera

import humesh
from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.media.photo import Photo


def errors(recovery: humesh.Result) -> list[float]:
    """Mean error of each person over the limb joints that were seen, per cent."""
    pixels = recovery.photo.camera.project(recovery.bodies.joints.double()).numpy()
    result = []
    for person, joints, seen in zip(recovery.people, pixels, recovery.visible.numpy(), strict=True):
        assert person.keypoints is not None
        here, there = SMPL24.indices(*LIMBS12.names), MEDIAPIPE33.indices(*LIMBS12.names)
        miss = np.linalg.norm(joints[here] - person.keypoints[there, :2], axis=1)[seen[here]]
        result.append(100 * float(miss.mean()) / float((person.box[2:] - person.box[:2]).max()))
    return result


def main() -> None:
    """Prints a line a photo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*")
    recoverer = humesh.Recoverer()
    for path in parser.parse_args().photos or [None]:
        photo = Photo.read(path) if path else Photo.of(np.repeat(camera()[..., None], 3, axis=-1))
        each = errors(recoverer(photo))
        print(f"{path or 'skimage camera'}: {len(each)} people, {', '.join(f'{e:.1f} %' for e in each) or 'nobody'}")


if __name__ == "__main__":
    main()
