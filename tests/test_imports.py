"""The direction of imports that the design fixes (section 2), read off the source files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gnome_torch", "workflows", "launchers")


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


# module (or package) -> what it must never import
FORBIDDEN = {
    "gnome_torch": ("workflows", "launchers", "fireworks", "pymongo", "maggma", "jobflow", "atomate2"),
    "workflows": ("launchers",),
    "gnome_torch.records": ("torch", "gnome_torch"),
    "gnome_torch.candidates": ("torch", "gnome_torch.graphs", "gnome_torch.models", "gnome_torch.inference",
                               "gnome_torch.training", "gnome_torch.stability", "gnome_torch.data"),
    "gnome_torch.stability": ("torch", "gnome_torch.graphs", "gnome_torch.models", "gnome_torch.inference",
                              "gnome_torch.training", "gnome_torch.data"),
    "gnome_torch.screening": ("torch", "gnome_torch.models", "gnome_torch.inference", "gnome_torch.training"),
    "gnome_torch.graphs": ("gnome_torch.models", "gnome_torch.inference", "gnome_torch.training"),
    "gnome_torch.models": ("gnome_torch.inference", "gnome_torch.training"),
    "gnome_torch.inference": ("gnome_torch.training",),
    "gnome_torch.training": ("gnome_torch.inference",),
}  # fmt: skip

# library -> the only modules that may import it
DOORS = {
    "pymongo": ("workflows.store",),
    "maggma": ("workflows.store",),
    "atomate2": ("workflows.relax",),
    "secantus": ("workflows.ground.server",),
}


def test_the_walk_finds_the_packages() -> None:
    assert {"gnome_torch.records", "workflows.store", "workflows.firetasks.screen", "launchers"} <= modules().keys()


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_direction(layer: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        if within(name, layer)
        for imported in imports(path)
        for forbidden in FORBIDDEN[layer]
        if within(imported, forbidden) and not (within(imported, layer))
    ]
    assert not wrong


@pytest.mark.parametrize("library", DOORS)
def test_one_door(library: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        for imported in imports(path)
        if within(imported, library) and not any(within(name, door) for door in DOORS[library])
    ]
    assert not wrong


def test_no_utils() -> None:
    assert not [name for name in modules() if name.endswith(("utils", "helpers", "misc"))]


def test_light_modules_do_not_load_torch() -> None:
    """A VASP worker, and `gnome --help`, start fast: checked on what is really loaded, not on what is written."""
    light = [
        "gnome_torch.records", "gnome_torch.screening", "gnome_torch.candidates.structural.proposals",
        "gnome_torch.candidates.decoration", "gnome_torch.stability.hull", "gnome_torch.stability.corrections",
        "workflows.store", "workflows.campaign.begin", "workflows.cli", "workflows.firetasks.record",
        "workflows.firetasks.close", "workflows.firetasks.search", "gnome_torch.candidates.random_search.search",
    ]  # fmt: skip
    code = f"import sys; import {', '.join(light)}; print('torch' in sys.modules, 'atomate2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
