"""What the page on extending adds holds to the contracts that it names."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pages import ROOT, blocks
from plugins import distribution

from gnome_torch.models.checkpoint import ARCHITECTURES, GROUP, save_model

PAGE = ROOT / "docs" / "extending.md"
CONTRACT = [
    "test_shapes",
    "test_batch_equals_single",
    "test_order_of_sites",
    "test_rotation_and_translation",
    "test_elements_and_distances_matter",
    "test_input_is_not_changed",
    "test_gradients_are_finite_and_reach_every_weight",
]


def module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def pair_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's network, as the file that it shows."""
    (text,) = [block.text for block in blocks(PAGE) if block.file == "pair_network.py"]
    (tmp_path / "pair_network.py").write_text(text)
    monkeypatch.setitem(ARCHITECTURES, "PairNetwork", None)  # what is added is taken away again
    monkeypatch.setitem(sys.modules, "pair_network", None)
    return module("pair_network", tmp_path / "pair_network.py")


def test_the_network_holds_to_the_contract(pair_network: ModuleType, tmp_path: Path) -> None:
    contract = module("contract_of_networks", ROOT / "tests" / "gnome_torch" / "test_models.py")
    torch.manual_seed(0)
    for name in CONTRACT:
        getattr(contract, name)(pair_network.PairNetwork().eval())
    for cell in ([2, 1, 1], [[1, 1, 0], [0, 1, 0], [0, -1, 2]]):
        contract.test_supercell_has_the_same_energy_per_atom(pair_network.PairNetwork().eval(), cell)
    contract.test_saved_model_is_the_same_model(pair_network.PairNetwork().eval(), tmp_path)


def test_a_saved_model_finds_the_network_of_another_package(pair_network: ModuleType, tmp_path: Path) -> None:
    """In a process that has not imported it; `pair_network.py` is beside the entry point that the page shows."""
    (shown,) = [tomllib.loads(block.text) for block in blocks(PAGE) if GROUP in block.text and block.language == "toml"]
    entries = shown["project"]["entry-points"][GROUP]
    save_model(tmp_path / "model", pair_network.PairNetwork(), {})
    code = f"from gnome_torch.models.checkpoint import load_model; print(type(load_model({str(tmp_path / 'model')!r})))"

    def read(*paths: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT]))}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    site = distribution(tmp_path / "site", "my-networks", GROUP, entries)
    assert read(tmp_path, site).stdout.strip() == "<class 'pair_network.PairNetwork'>"
    assert "unknown network 'PairNetwork'" in read(tmp_path).stderr
    assert "'PairNetwork' of my-networks (pair_network:PairNetwork) cannot be loaded" in read(site).stderr


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("workflows/relax/registry.py", "THEORIES: dict"),
        ("tests/workflows/relax/test_theories.py", "THEORIES = ["),
        ("gnome_torch/candidates/random_search/search.py", "class CellGenerator(Protocol)"),
        ("gnome_torch/candidates/random_search/search.py", "GENERATORS = "),
        ("gnome_torch/models/checkpoint.py", "ARCHITECTURES: dict"),
        ("tests/gnome_torch/test_models.py", "NETWORKS: dict"),
        ("workflows/campaign/pipelines.py", "def network_config("),
        ("workflows/campaign/plan.py", "class Step:"),
    ],
)
def test_the_lines_to_change_are_there(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()
    assert file in PAGE.read_text()
