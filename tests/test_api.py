"""Everything public says in words what it does."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import humesh


def _modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(humesh.__path__, "humesh.")
    return [humesh, *(importlib.import_module(module.name) for module in found)]


def test_every_public_name_is_there() -> None:
    assert callable(humesh.recover)
    assert set(humesh.__all__) < set(dir(humesh)), "a notebook completes names"
    for name in humesh.__all__:
        assert getattr(humesh, name).__doc__


def test_every_error_is_ours_and_exported() -> None:
    classes = [thing for module in _modules() for thing in vars(module).values() if inspect.isclass(thing)]
    errors = {thing for thing in classes if issubclass(thing, Exception) and thing.__module__.startswith("humesh.")}
    assert len(errors) > 20
    for error in errors - {humesh.HumeshError}:
        assert issubclass(error, humesh.HumeshError), error
        assert getattr(humesh, error.__name__) is error, f"{error}: missing in humesh/__init__.pyi"


def test_importing_humesh_loads_no_torch_and_no_module_hides_a_function() -> None:
    code = "import sys, humesh; assert 'torch' not in sys.modules; import humesh.recover, humesh.recover_video; "
    code += "assert callable(humesh.recover) and callable(humesh.recover_video)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_everything_public_has_a_docstring() -> None:
    missing = []
    for module in _modules():
        if not module.__doc__:
            missing.append(module.__name__)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(thing) and not thing.__doc__:
                missing.append(f"{module.__name__}.{name}")
            if inspect.isclass(thing):
                if not thing.__doc__:
                    missing.append(f"{module.__name__}.{name}")
                methods = [(n, m) for n, m in vars(thing).items() if inspect.isfunction(m) and not n.startswith("_")]
                missing += [f"{module.__name__}.{name}.{n}" for n, m in methods if not m.__doc__ and n != "forward"]
    assert not missing


def test_nothing_but_the_base_installation_is_needed_to_import() -> None:
    """What an extra brings (SciPy for Matlab files) is imported where it is used."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    names = {"pillow": "PIL"}
    base = {names.get(name, name) for name in (re.split(r"\W", words)[0] for words in project["dependencies"])}
    root = Path(humesh.__file__).parent
    of_extras = {root / "web/server.py"}  # imported where their extra is installed
    for path in set(root.rglob("*.py")) - of_extras:
        for line in ast.parse(path.read_text()).body:
            if isinstance(line, ast.Import | ast.ImportFrom):
                wanted = [line.module] if isinstance(line, ast.ImportFrom) else [alias.name for alias in line.names]
                tops = {str(name).split(".")[0] for name in wanted} - base - {"humesh"}
                assert tops <= sys.stdlib_module_names, f"{path.name} imports {', '.join(tops)}"
