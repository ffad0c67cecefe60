"""`humesh predict` and its demo: the options; prediction.py, and torch with it, is imported only for the work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humesh.commands.errors import UserError
from humesh.video_options import VideoOptions

Finder = Literal["accurate", "fast", "rtmlib"]
Format = Literal["jpg", "views", "errors", "mp4", "glb", "obj", "ply", "npz", "json", "bvh"]
Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
VideoFormat = Literal["mp4", "glb", "bvh", "amass", "usd", "npz"]


@dataclass(frozen=True)
class VideoFiles(VideoOptions):
    """How videos are recovered, and what is written of them."""

    formats: tuple[VideoFormat, ...] = ("mp4", "glb", "npz")
    """What to write: mp4 the film, glb the moving bodies for Blender and three.js, bvh and amass a file a person."""
    beside: bool = True
    """The people from their side, beside the film."""
    tracks: Path | None = None
    """Tracks in MOT's text format, instead of finding and following people."""
    folders: bool = False
    """Folders are videos: their pictures in order are the frames."""
    pad: bool = False
    """BVH, AMASS and rigged GLB files of everybody are as long as the video: before and after a person its nearest pose
    is held."""


@dataclass(frozen=True)
class Options:
    """How photos and videos are predicted, and what is written."""

    out: Out = Path("humesh_out")
    """Folder for the results."""
    weights: str = ""
    """A method whose weights are shipped (default: lifter for photos and webcams, lifter_video for videos), or a file
    of a trained one (.safetensors, see `humesh convert`)."""
    refine: bool = True
    """Afterwards fit every body's joints to the 2D keypoints of the finder, held by a pose prior, so that it sits on
    the photo; --no-refine leaves the method's own prediction."""
    body: str = "open"
    """"open" (free, shipped) or your own SMPL .pkl or .npz file."""
    detections: Path | None = None
    """People you already have: a COCO results JSON, a folder of OpenPose JSON, or a JSON of boxes."""
    finder: Finder = "accurate"
    """What finds people when no detections are given: accurate makes three passes over everyone with the larger
    landmark model, fast one pass with the smaller one."""
    focal_px: float | None = None
    """The focal length in pixels, where you know it better than EXIF does."""
    formats: tuple[Format, ...] = ("jpg", "glb", "json")
    """What to write of photos; views is a picture from the side and from above, errors the overlay with each joint's
    expected error, mp4 a turntable film."""
    units: Literal["m", "cm"] = "m"
    """Of BVH, OBJ and PLY files: metres or centimetres; GLB, USD and AMASS files are in metres by definition."""
    floor: bool = False
    """Files for other programs have their lowest point at height 0 instead of the camera at the origin."""
    up: Literal["y", "z"] = "y"
    """The axis of BVH, OBJ and PLY files that points up; of GLB and USD it is y, of AMASS z."""
    rig: Literal["smpl", "mixamo", "unity"] = "smpl"
    """Of GLB and BVH files, the skeleton's bone names; with mixamo and unity each person is a GLB of its own, which
    rests in a T-pose, ready for retargeting."""
    fps: float | None = None
    """Of videos, the constant rate of GLB, BVH, AMASS and USD files (default: the video's)."""
    root_motion: bool = True
    """Of videos: people walk through these files; --no-root-motion keeps them above the place where they begin."""
    device: str = "auto"
    """Where bodies are computed: cpu, cuda, cuda:1, mps; auto: the GPU if there is one."""
    overwrite: bool = False
    """Do again what is finished."""
    preview: bool = False
    """Of a webcam or a stream: see in the browser, at the address that is printed, what is being recorded."""
    video: VideoFiles = VideoFiles()
    """Of videos only."""


_DEFAULT = Options()


def predict(
    inputs: tyro.conf.Positional[list[str]],
    options: Annotated[Options, tyro.conf.arg(name="")] = _DEFAULT,
) -> int:
    """Recover the bodies of everyone in photos and videos.

    Each photo gets files named after it: an overlay picture, a GLB for Blender or three.js, a JSON with all numbers;
    each video a film, a GLB that moves, an NPZ and a JSON. What is finished is skipped, so a stopped run goes on where
    it was; what was made from another file or with other options is done again. Files that humesh did not make are
    never replaced.

    Examples: humesh photo.jpg; humesh shots/ -o out --formats glb bvh; humesh clip.mp4 --video.end-s 5; humesh 0

    Args:
        inputs: Photos, videos, folders of them, patterns such as "shots/*.jpg", addresses of videos (https, rtsp), or
            the number of a webcam.
        options: How and what.
    """
    from humesh.commands.prediction import run

    return run(list(map(str, inputs)), options)


def demo(out: Out = Path("humesh_demo")) -> int:
    """Recover the body in scikit-image's photo `camera` (CC0) and say where the pictures are.

    Args:
        out: Folder for the results.
    """
    import numpy as np
    from PIL import Image

    from humesh.files import writing

    try:
        from skimage.data import camera
    except ImportError:
        raise UserError('the demo needs scikit-image for its photo; run: pip install "humesh[demo]"') from None
    photo, pixels = out / "camera.png", camera()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not photo.exists():
            with writing(photo) as draft:
                Image.fromarray(pixels).save(draft)
        elif not np.array_equal(np.asarray(Image.open(photo)), pixels):
            raise UserError(f"{photo}: another picture is there; give another folder with -o.")
    except OSError as error:
        why = error.strerror or "what is there is no picture"
        raise UserError(f"cannot write {photo}: {why}; give another folder with -o.") from None
    return predict([str(photo)], Options(out=out, formats=("jpg", "views", "glb", "json"), overwrite=True))
