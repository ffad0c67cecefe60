"""`humesh view`: a result in the browser, to walk around its people."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from humesh.commands.errors import say, within


def view(
    result: tyro.conf.Positional[Path],
    source: Annotated[Path | None, tyro.conf.arg(aliases=["--video", "--photo"])] = None,
    body: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    browser: bool = True,
) -> int:
    """Show a result's people in 3D in the browser: play, orbit, follow somebody; Ctrl-C ends it.

    Args:
        result: The .npz of a photo or a video that `humesh predict` wrote.
        source: The photo or video, to see it behind the people; without it the one of the result's name, where it lies
            beside the result.
        body: Your own SMPL .pkl or .npz file, where the result was made with it.
        host: Address to be reached at; 127.0.0.1: from this computer only, 0.0.0.0: from all that know the token.
        port: Port, or the next one that is free.
        browser: Open the browser.
    """
    from humesh.body.model import BodyModel
    from humesh.commands.app import serve
    from humesh.scene.record import load
    from humesh.scene.result import Result
    from humesh.web.jobs import Job, Jobs
    from humesh.web.work import shown

    within("--port", port, 1, 65_000)
    own = None if body is None else BodyModel.load(body)
    loaded = load(result, source, own)
    if source is None:  # whoever made the file must not choose which file of this computer is opened
        name = loaded.photo.path if isinstance(loaded, Result) else loaded.path
        beside = result.parent / name.replace("\\", "/").rpartition("/")[2]
        if name and beside.is_file():
            source, loaded = beside, load(result, beside, own)
    if source is None:
        say("The picture itself is not shown: give it with --source.")
    folder = Path(tempfile.mkdtemp(prefix="humesh-view-"))
    jobs = Jobs(lambda job, limits: None)
    try:
        job = Job("", result.name, folder, state="done")
        job.result = shown(loaded, folder / result.stem, ["glb"], lambda *progress: None)
        return serve(jobs, host, port, browser, job)
    finally:
        jobs.close()
        shutil.rmtree(folder, ignore_errors=True)
