"""What of a video is recovered, and what is done with its motions: the same for Python and the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoOptions:
    """The part of a video, its gaps and its smoothing; this module imports nothing, so that help is printed at once."""

    start_s: float = 0.0
    """Seconds into the video where to begin."""
    end_s: float | None = None
    """Seconds into the video where to end."""
    stride: int = 1
    """Take every n-th frame only."""
    smooth_s: float = 0.08
    """Standard deviation in seconds of the Gaussian in which motions are smoothed; 0: not smoothed."""
    bridge_s: float = 0.5
    """Bridge gaps of up to this many seconds in a track; longer ones end its motion."""
    least_s: float = 0.3
    """Leave out tracks that are shorter than this many seconds."""
    interval: int = 1
    """Frames between those that a method for clips takes together."""
    ground: bool = False
    """Keep feet that rest on the ground where they are, by moving people mostly in depth; for a still camera only."""
