"""A photo's people as one GLB for Blender, and where each of them stands: python photo_to_glb.py PHOTO [OUT.glb]"""

import sys
from pathlib import Path

import humesh

photo = Path(sys.argv[1])
out = Path(sys.argv[2]) if len(sys.argv) > 2 else photo.with_suffix(".glb")
result = humesh.recover(photo)
result.save(out)
for number, (person, joints) in enumerate(zip(result.people, result.bodies.joints, strict=True), start=1):
    x, _, z = joints[0].tolist()  # the pelvis, metres: x to the right, z away from the camera
    side = "right" if x > 0 else "left"
    print(f"person {number}: {z:.1f} m away, {abs(x):.1f} m to the {side}, score {person.score:.2f}")
print(out)
