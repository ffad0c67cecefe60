"""Old names, until the commands and the evaluation use the new ones."""

from humesh.scene.export import VIDEO_FORMATS

VIDEO_WRITERS = {name: format for name, format in VIDEO_FORMATS.items() if name != "mp4"}
VIDEO_ENDINGS = {name: format.ending for name, format in VIDEO_WRITERS.items()}
PER_PERSON = ("bvh", "amass")
EXTRAS = {name: format.needs for name, format in VIDEO_FORMATS.items() if format.needs}
