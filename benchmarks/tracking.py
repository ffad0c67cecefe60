"""Who is mixed up with whom on OpenCV's vtest.avi, against tracks made by hand (tests/data/vtest_tracks.txt).

Run: python benchmarks/tracking.py VTEST (in Debian's package opencv-doc: examples/data/vtest.avi). Follows the people
of frames 0 to 300 as `humesh predict` does and prints tracks, identity switches and misses by CLEAR MOT's rules. Two
minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import islice
from pathlib import Path

from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.people.finder import PeopleFinder
from humesh.people.mot import count_switches, read_mot
from humesh.people.video_people import CONFIRM, VideoPeople

_HAND = Path(__file__).parents[1] / "tests" / "data" / "vtest_tracks.txt"
_LAST = 300


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--least", type=float, default=0.4, help="overlap from which a find is somebody")
    arguments = parser.parse_args()
    people = VideoPeople(PeopleFinder())
    frames = islice(Video(arguments.video), _LAST + 1)
    found = {frame.number: people(Photo.of(frame.pixels), frame.time_s) for frame in frames}
    count = count_switches(read_mot(_HAND), found, arguments.least)
    detections = Counter(person.track for some in found.values() for person in some)
    sure = sum(number >= CONFIRM for number in detections.values())
    print(
        f"by hand: {count.people} tracks, {count.boxes} boxes; found on them: {count.tracks} tracks "
        f"({sure} tracks of 3 finds or more in all), {count.switches} switches, {count.misses} misses"
    )


if __name__ == "__main__":
    main()
