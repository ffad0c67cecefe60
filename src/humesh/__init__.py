"""humesh turns photos of people into posed body meshes."""

from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.geometry.camera import Camera
from humesh.images.photo import Person, Photo
from humesh.recover import Recoverer, recover
from humesh.scene.export import save
from humesh.scene.record import humesh_version
from humesh.scene.recovery import Recovery

__version__ = humesh_version()

__all__ = [
    "Bodies",
    "BodyModel",
    "BodyPose",
    "Camera",
    "Person",
    "Photo",
    "Recoverer",
    "Recovery",
    "recover",
    "save",
]
