"""How far each person's knees bend in a video, as a table for a spreadsheet: python knee_angles.py VIDEO > knees.csv"""

import sys

import torch

import humesh
from humesh.body.joints import SMPL24

result = humesh.recover_video(sys.argv[1])
print("person,seconds,left_knee_degrees,right_knee_degrees")
for track in result.tracks:
    knees = track.pose.rotations[:, SMPL24.indices("left_knee", "right_knee")]  # relative to the thighs
    cosine = (knees.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    degrees = torch.rad2deg(cosine.clamp(-1, 1).acos())
    for frame, (left, right) in zip(track.frames, degrees.tolist(), strict=True):
        print(f"{track.track},{result.times[frame]:.3f},{left:.1f},{right:.1f}")
