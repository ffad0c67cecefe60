"""Everybody's motion in a video as BVH, a file for each person: python video_to_bvh.py VIDEO [OUT.bvh]"""

import sys
from pathlib import Path

import humesh

video = Path(sys.argv[1])
result = humesh.recover_video(video)
for track in result.tracks:
    seconds = result.times[track.frames[-1]] - result.times[track.frames[0]]
    print(f"person {track.track}: {len(track.frames)} frames, {seconds:.1f} s")
result.save(Path(sys.argv[2]) if len(sys.argv) > 2 else video.with_suffix(".bvh"))
