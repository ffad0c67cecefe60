"""`humesh view`: the people of a video as a web page, to walk around them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError


def view(
    result: tyro.conf.Positional[Path],
    video: Annotated[Path | None, tyro.conf.arg(aliases=["-v"])] = None,
    body: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
) -> int:
    """Show a video's people in 3D in the browser: scrub, play, orbit, follow somebody; Ctrl-C ends it.

    Args:
        result: The .npz that `humesh predict VIDEO` wrote.
        video: The video, to see its frames beside the scene; without it that of the result, where it still lies there.
        body: Your own SMPL .pkl or .npz file, where the result was made with it.
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all.
        port: Port, or the next one that is free.
    """
    from humesh.body.files import BodyFileError
    from humesh.body.model import BodyModel
    from humesh.images.video import VideoError
    from humesh.scene.motion_record import ResultError, read_motion_npz
    from humesh.scene.viewer import Viewer

    try:
        recovery, source = read_motion_npz(result, None if body is None else BodyModel.load(body))
        if video is None and source and Path(source).exists():
            video = Path(source)
        viewer = Viewer(recovery, video, host, port)
    except (ResultError, VideoError, BodyFileError, ImportError) as error:
        raise UserError(str(error)) from None
    if video is None:
        print("The video itself is not shown: give it with --video.")
    print(f"http://{host}:{viewer.port} (Ctrl-C ends)", flush=True)
    try:
        viewer.run()
    except KeyboardInterrupt:
        viewer.close()
    return 0
