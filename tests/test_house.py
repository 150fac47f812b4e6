"""The house: which way imports go, the doors to libraries, and how large its parts may be; read off the source files.

Every import counts, inside functions too; only what stands under `if TYPE_CHECKING` is never executed and does not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gnome_torch", "workflows", "launchers")

# Floors, the top first: a file may import from its own floor and from those below.
LAYERS = {
    "workflows": (
        ("workflows.cli",),
        ("workflows.commands",),
        ("workflows.operate", "workflows.firetasks"),
        ("workflows.campaign",),
        ("workflows.catalogue",),
        ("workflows.store", "workflows.relax"),
        ("workflows.ground",),
    ),
    "workflows.campaign": (
        ("workflows.campaign.begin",),
        ("workflows.campaign.rounds",),
        ("workflows.campaign.stages",),
        ("workflows.campaign.plan",),
        ("workflows.campaign.pipelines", "workflows.campaign.holding"),
        ("workflows.campaign.baseline",),
        ("workflows.campaign.campaign",),
        ("workflows.campaign.settings", "workflows.campaign.places"),
        ("workflows.campaign.sections",),
    ),
    "gnome_torch": (
        ("gnome_torch.training", "gnome_torch.inference"),
        ("gnome_torch.models",),
        ("gnome_torch.graphs", "gnome_torch.screening", "gnome_torch.data"),
        ("gnome_torch.candidates", "gnome_torch.stability"),
        ("gnome_torch.records", "gnome_torch.baseline", "gnome_torch.symmetry", "gnome_torch.similarity",
         "gnome_torch.plugins", "gnome_torch.files", "gnome_torch.devices", "gnome_torch.hydrates",
         "gnome_torch.spreadsheets"),
    ),
    "launchers": (
        ("launchers.cli",),
        ("launchers",),
    ),
}  # fmt: skip

# what stands beside another on the same floor, and knows nothing of it
APART = (
    ("workflows.operate", "workflows.firetasks"),
    ("workflows.store", "workflows.relax"),
    ("gnome_torch.training", "gnome_torch.inference"),
    ("gnome_torch.candidates", "gnome_torch.stability"),
    ("workflows.campaign.pipelines", "workflows.campaign.holding"),
)

# package -> what it must never import
FORBIDDEN = {
    "gnome_torch": ("workflows", "launchers", "fireworks", "pymongo", "maggma", "jobflow", "atomate2"),
    "workflows": ("launchers",),
    "gnome_torch.records": ("torch",),
    "gnome_torch.candidates": ("torch",),
    "gnome_torch.stability": ("torch",),
    "gnome_torch.screening": ("torch",),
}

# library -> the only modules that may import it
DOORS = {
    "pymongo": ("workflows.store",),
    "maggma": ("workflows.store",),
    "atomate2": ("workflows.relax",),
    "secantus": ("workflows.ground.server",),
}

STORED_NAMES = "workflows.calculators"  # an alias of names that stand inside queued relaxations
MAX_LINES = 50
MAX_PARAMETERS = 8
COLLECTIONS = {"fireworks", "workflows", "launches", "fw_id_assigner"}
QUERIES = {"find", "find_one", "find_one_and_update", "count_documents", "aggregate", "distinct",
           "update_one", "update_many", "delete_many", "insert_one", "bulk_write"}  # fmt: skip


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but for what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from executed(child)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, and every name that it takes from one."""
    names: set[str] = set()
    for node in executed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


IMPORTS = {name: imports(path) for name, path in MODULES.items()}


def files_imported(name: str) -> set[str]:
    """Files of ours that a file imports; the front of a package only where a name is taken from it."""
    found = {imported for imported in IMPORTS[name] if imported in MODULES}
    fronts = {imported for imported in found if is_package(imported)}
    return found - {front for front in fronts if any(other.startswith(f"{front}.") for other in found)} - {name}


def is_package(name: str) -> bool:
    return MODULES[name].name == "__init__.py"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def floor(layers: tuple[tuple[str, ...], ...], name: str) -> int | None:
    """Number of a module's floor, counted from the top; None for what stands outside."""
    for number, packages in enumerate(layers):
        if any(within(name, package) for package in packages):
            return number
    return None


# ---- directions


def test_the_walk_finds_the_packages() -> None:
    assert {"gnome_torch.records", "workflows.store", "workflows.firetasks.screen", "launchers"} <= MODULES.keys()
    assert "workflows.campaign.stages.screen" in files_imported("workflows.firetasks.screen")
    assert "gnome_torch.training.loop" in files_imported("workflows.campaign.stages.learning")  # inside a function


@pytest.mark.parametrize("house", LAYERS)
def test_no_import_runs_up(house: str) -> None:
    layers = LAYERS[house]
    wrong = []
    for name in MODULES:
        here = floor(layers, name) if within(name, house) else None
        for imported in IMPORTS[name] if here is not None else ():
            there = floor(layers, imported)
            if there is not None and there < here:
                wrong.append(f"{name} imports {imported}")
    assert not wrong


@pytest.mark.parametrize("house", LAYERS)
def test_every_file_has_a_floor(house: str) -> None:
    """A file outside the floors would be held to no direction. The front of a package may show what is on all."""
    exempt = {house, "workflows.calculators"}
    assert not [
        name for name in MODULES if within(name, house) and floor(LAYERS[house], name) is None and name not in exempt
    ]


@pytest.mark.parametrize(("one", "other"), APART)
def test_neighbours_know_nothing_of_each_other(one: str, other: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        for imported in IMPORTS[name]
        if (within(name, one) and within(imported, other)) or (within(name, other) and within(imported, one))
    ]
    assert not wrong


def test_nobody_imports_firetasks() -> None:
    """People and FireWorks are two doors to the same stages."""
    wrong = [
        n
        for n in MODULES
        if not within(n, "workflows.firetasks") and any(within(i, "workflows.firetasks") for i in IMPORTS[n])
    ]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_files(package: str) -> None:
    graph = {name: files_imported(name) for name in MODULES if within(name, package)}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done and name in graph:
            for imported in sorted(graph[name]):
                visit(imported, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("package", FORBIDDEN)
def test_what_is_never_imported(package: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        if within(name, package)
        for imported in IMPORTS[name]
        if any(within(imported, forbidden) for forbidden in FORBIDDEN[package])
    ]
    assert not wrong


@pytest.mark.parametrize("library", DOORS)
def test_one_door(library: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        for imported in IMPORTS[name]
        if within(imported, library) and not any(within(name, door) for door in DOORS[library])
    ]
    assert not wrong


def is_query(node: ast.AST) -> bool:
    """Whether a call reads or writes a collection: `launchpad.fireworks.find(...)`, `database["entries"].find(...)`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in QUERIES):
        return False
    of = node.func.value
    return isinstance(of, ast.Subscript) or (isinstance(of, ast.Attribute) and of.attr in COLLECTIONS)


def test_queries_stand_in_the_store_alone() -> None:
    """FireWorks' own collections included, which its LaunchPad hands to everybody."""
    outside = {name: path for name, path in MODULES.items() if not within(name, "workflows.store")}
    assert not [
        f"{name}:{node.lineno}"
        for name, path in outside.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if is_query(node) and isinstance(node, ast.Call)
    ]


# ---- sizes


def test_no_loose_files() -> None:
    assert {p.stem for p in (ROOT / "workflows").glob("*.py")} == {"__init__", "cli", "calculators"}


def test_no_utils() -> None:
    assert not [name for name in MODULES if name.endswith(("utils", "helpers", "misc"))]


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}.{node.name}", node


def test_functions_are_short() -> None:
    assert not [
        f"{name}: {length} lines"
        for name, node in functions()
        if (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_LINES
    ]


def test_functions_have_few_parameters() -> None:
    """But for typer's, where a parameter is an option of a command."""
    wrong = []
    for name, node in functions():
        names = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)} - {"self", "cls"}
        if len(names) > MAX_PARAMETERS and not within(name, "workflows.commands"):
            wrong.append(f"{name}: {len(names)}")
    assert not wrong


# ---- what is really loaded


def test_light_modules_do_not_load_torch() -> None:
    """A VASP worker, and `gnome --help`, start fast: checked on what is really loaded, not on what is written."""
    light = [
        "gnome_torch.records", "gnome_torch.screening", "gnome_torch.candidates.structural.proposals",
        "gnome_torch.candidates.decoration", "gnome_torch.stability.hull", "gnome_torch.stability.corrections",
        "workflows.store", "workflows.campaign.begin", "workflows.campaign.plan", "workflows.cli",
        "workflows.firetasks.record", "workflows.firetasks.close", "workflows.firetasks.search",
        "gnome_torch.candidates.random_search.search",
    ]  # fmt: skip
    code = f"import sys; import {', '.join(light)}; print('torch' in sys.modules, 'atomate2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_embedded_server_loads_nothing_but_itself() -> None:
    code = (
        "import sys; import workflows.ground.server; "
        "print(sorted({'pymongo', 'pymatgen', 'fireworks', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
