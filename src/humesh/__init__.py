"""humesh turns photos and videos of people into posed body meshes."""

from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.geometry.camera import Camera
from humesh.images.photo import Person, Photo
from humesh.recover import Recoverer, recover
from humesh.recover_video import recover_video
from humesh.scene.export import save
from humesh.scene.export_video import save_video
from humesh.scene.record import humesh_version
from humesh.scene.recovery import PersonMotion, Recovery, VideoRecovery

__version__ = humesh_version()

__all__ = [
    "Bodies",
    "BodyModel",
    "BodyPose",
    "Camera",
    "Person",
    "PersonMotion",
    "Photo",
    "Recoverer",
    "Recovery",
    "VideoRecovery",
    "recover",
    "recover_video",
    "save",
    "save_video",
]
