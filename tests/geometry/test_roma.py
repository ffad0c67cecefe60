"""That roma is imported without torch's compiler, of which nothing stands in afterwards."""

import subprocess
import sys


def test_importing_humesh_loads_no_compiler_and_no_timm() -> None:
    code = (
        "import sys, humesh; from humesh.recover import Recoverer; Recoverer(weights='lifter', finder=lambda p: []);"
        "Recoverer(weights='lifter_video', finder=lambda p: []); import torch;"
        "print([name for name in ('torch._dynamo', 'timm', 'torchvision', 'onnxruntime') if name in sys.modules]);"
        "print('_dynamo' in vars(torch))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]
