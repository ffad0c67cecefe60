"""`humesh view`: the people of a video as a web page, to walk around them."""

from __future__ import annotations

from pathlib import Path

import tyro

from humesh.commands.errors import UserError, say, within


def view(
    result: tyro.conf.Positional[Path],
    video: Path | None = None,
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
    from humesh.scene.record import load
    from humesh.scene.result import VideoResult
    from humesh.scene.viewer import Viewer

    within("--port", port, 1, 65_000)
    motion = load(result, body=None if body is None else BodyModel.load(body))
    if not isinstance(motion, VideoResult):
        raise UserError(f"{result}: expected a video's .npz of humesh, got a photo's.")
    # Whoever made the file must not choose which file of this computer is opened.
    beside = result.parent / motion.path.replace("\\", "/").rpartition("/")[2]
    if video is None and motion.path and beside.is_file():
        video = beside
    viewer = Viewer(motion, video, host, port)
    if video is None:
        say("The video itself is not shown: give it with --video.")
    say(f"{viewer.url} (Ctrl-C ends)")
    try:
        viewer.run()
    except KeyboardInterrupt:
        viewer.close()
    return 0
