"""Rooms import only downwards."""

import ast
from pathlib import Path

import humesh

ROOT = Path(humesh.__file__).parent
ROWS = [
    {"errors", "threads", "video_options"},
    {"files", "geometry"},
    {"body", "networks", "media", "batch_files"},
    {"people", "losses"},
    {"crops"},
    {"methods", "data", "scene"},
    {"fitting"},
    {"recover"},
    {"evaluation"},
    {"training", "recover_video"},
    {"web", "batch"},
    {"commands"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
NAMELESS = {"utils", "misc", "common", "core", "helpers", "base"}


def _imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module or ""] if node.module != "humesh" else [f"humesh.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("humesh.")}
    return found


def test_rooms_import_only_downwards() -> None:
    modules = [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]
    assert len(modules) > 20
    for path in modules:
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for other in _imported_rooms(path) - {room}:
            assert ROW_OF[other] < ROW_OF[room], f"{path.relative_to(ROOT)} may not import humesh.{other}"


def test_rooms_and_modules_have_meaning() -> None:
    names = {p.relative_to(ROOT).with_suffix("") for p in ROOT.rglob("*.py")}
    assert not [n for n in names if n.name in NAMELESS and n != Path("methods/base")]


def test_a_forbidden_import_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from humesh.commands import main\n    import humesh.scene.export\n")
    assert _imported_rooms(module) == {"commands", "scene"}
