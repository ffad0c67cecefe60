"""That roma does its work without torch's compiler being loaded, and with it where that is wanted."""

import subprocess
import sys


def test_importing_humesh_loads_no_compiler_and_no_timm() -> None:
    code = (
        "import sys, humesh; from humesh.recover import Recoverer; Recoverer(weights='lifter', finder=lambda p: []);"
        "Recoverer(weights='lifter_video', finder=lambda p: []);"
        "print([name for name in ('torch._dynamo', 'timm', 'torchvision', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_roma_keeps_from_the_compiler_still_is_kept_from_it() -> None:
    code = (
        "import humesh.geometry, roma, torch, sys; m = torch.eye(3)[None].double();"
        "stood_in = roma.mappings._horn_eigenvector_apply_eager;"
        "q = stood_in(m, 1e-5);"
        "assert 'torch._dynamo' in sys.modules;"
        "assert torch._dynamo.disable is not None and hasattr(torch._dynamo, 'optimize');"
        "assert torch.allclose(q, roma.mappings._horn_eigenvector_apply(m, 1e-5))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
