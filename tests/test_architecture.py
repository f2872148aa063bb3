"""The code keeps to docs/architecture.md: who imports whom; how much a function may ask for."""
import ast
import re
from pathlib import Path

import pytest

import minifcn

PACKAGE = Path(minifcn.__file__).parent
DOCS = PACKAGE.parent / "docs"
PRIVATE = re.compile(r"llvmlite|numba\.(core|np)|numba\.extending")
MAY_BE_PRIVATE = {"ops/compiling.py", "ops/threads.py", "ops/fast/vectors.py", "ops/fast/gemm.py",
                  "ops/fast/transforms.py", "progress.py", "cli/machine.py"}
MOST = 8        # positional parameters

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="needs the docs")


def sources() -> dict[str, ast.Module]:
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text())
            for path in sorted(PACKAGE.rglob("*.py"))}


SOURCES = sources()


def room_of(module: str) -> str:
    """"minifcn.ops.fast.gemm" -> "ops.fast"."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2 if parts[0] == "ops" and parts[1:2] in (["fast"], ["reference"])
                          else 1])


def imports(path: str, tree: ast.Module):
    """(room, whether inside a function) for each import of another room."""
    package = ["minifcn", *Path(path).parts[:-1]]

    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                above = package[:len(package) - child.level + 1] if child.level else []
                base = ".".join([*above, *([child.module] if child.module else [])])
                names = [f"{base}.{alias.name}" for alias in child.names] \
                    if base in ("minifcn", "minifcn.ops") else [base]
            else:
                if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
                    yield from visit(child, inside or isinstance(
                        child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))
                continue
            for name in names:
                if name.startswith("minifcn.") and room_of(name) in ROOMS:
                    yield room_of(name), inside

    yield from visit(tree, False)


def table() -> dict[str, tuple[set[str], set[str]]]:
    """Of each room: what it may import, and what inside of functions only."""
    rows = {}
    for line in (DOCS / "architecture.md").read_text().splitlines():
        if line.startswith("| `"):
            room, _, allowed = (cell.strip() for cell in line.strip("|").split("|"))
            always, _, inside = allowed.partition("(")
            rows[room.strip("`")] = tuple(set(re.findall(r"`([^`]+)`", part))
                                          for part in (always, inside))
    return rows


ROOMS = table()


def test_every_room_is_on_the_page_and_in_the_picture():
    rooms = {room_of(f"minifcn.{path.removesuffix('.py').replace('/', '.')}") for path in SOURCES}
    assert rooms - {"__init__", "__main__"} <= set(ROOMS)
    picture = (DOCS / "architecture.svg").read_text()
    assert all(f">{room}</text>" in picture for room in ROOMS)


@pytest.mark.parametrize("path", SOURCES)
def test_imports_keep_to_the_table(path):
    room = room_of(f"minifcn.{path.removesuffix('.py').replace('/', '.')}")
    if room in ("cli", "__init__", "__main__"):
        return
    always, inside = ROOMS[room]
    for other, in_function in imports(path, SOURCES[path]):
        allowed = always | inside if in_function else always
        assert other == room or other in allowed, f"{path} must not import {other}"


def test_what_is_imported_at_the_top_never_leads_back():
    floors, left = [], dict(ROOMS)
    while left:
        floor = {room for room, (always, _) in left.items() if not always & set(left) - {room}}
        assert floor or set(left) == {"cli"}, f"{set(left)} import each other"
        floors.append(floor or {"cli"})
        left = {room: rule for room, rule in left.items() if room not in floors[-1]}


def test_private_parts_of_numba_are_used_in_few_places():
    using = {path for path, tree in SOURCES.items() for node in ast.walk(tree)
             if isinstance(node, (ast.Import, ast.ImportFrom))
             and PRIVATE.match(getattr(node, "module", None) or node.names[0].name)}
    assert using <= MAY_BE_PRIVATE
    requirement = re.search(r"^ *numba(.*)$", (DOCS.parent / "setup.cfg").read_text(), re.M)[1]
    assert re.fullmatch(r">=0\.\d+,<0\.\d+", requirement)      # tried with the first and the last


def documented(node, parent) -> bool:
    """Public: a function or the constructor of a class, with its parameters told one by one."""
    return any("Parameters\n" in (ast.get_docstring(each) or "") for each in (node, parent)
               if isinstance(each, (ast.FunctionDef, ast.ClassDef)))


@pytest.mark.parametrize("path", SOURCES)
def test_functions_ask_for_few_things(path):
    for parent in ast.walk(SOURCES[path]):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                count = len(node.args.posonlyargs) + len(node.args.args)
                public = documented(node, parent) and not path.startswith("ops/fast/")
                assert count <= MOST or public, f"{path}: {node.name} takes {count} parameters"


def test_the_functions_of_the_two_engines_are_the_same():
    from minifcn.ops import fast, reference
    fused = {"conv2d_relu_forward", "conv2d_relu_backward"}
    assert set(fast.__all__) - fused == set(reference.__all__)
