"""`humesh view`: the people of a video as a web page, to walk around them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import UserError, within
from humesh.errors import HumeshError


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
        video: The video, to see its frames beside the scene; without it the one of the result's name, where it lies
            beside the result.
        body: Your own SMPL .pkl or .npz file, where the result was made with it.
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all that know the token.
        port: Port, or the next one that is free.
    """
    from humesh.body.model import BodyModel
    from humesh.scene.motion_record import read_motion_npz
    from humesh.scene.viewer import Viewer

    within("--port", port, 1, 65_000)
    try:
        recovery, source = read_motion_npz(result, None if body is None else BodyModel.load(body))
        # Whoever made the file must not choose which file of this computer is opened.
        beside = result.parent / source.replace("\\", "/").rpartition("/")[2]
        if video is None and source and beside.is_file():
            video = beside
        viewer = Viewer(recovery, video, host, port)
    except HumeshError as error:
        raise UserError(str(error)) from None
    if video is None:
        print("The video itself is not shown: give it with --video.")
    print(f"{viewer.url} (Ctrl-C ends)", flush=True)
    try:
        viewer.run()
    except KeyboardInterrupt:
        viewer.close()
    return 0
