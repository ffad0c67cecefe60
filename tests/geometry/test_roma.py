"""That roma is imported without torch's compiler, which is loaded where it is wanted."""

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


def test_the_compiler_is_the_real_one_afterwards() -> None:
    code = (
        "import humesh.geometry, torch, sys; assert 'torch._dynamo' not in sys.modules;"
        "assert hasattr(torch._dynamo, 'optimize') and 'torch._dynamo' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
