"""What the page on extending adds holds to the contracts that it names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pages import ROOT, blocks

from gnome_torch.models.checkpoint import ARCHITECTURES

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


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("workflows/relax/registry.py", "THEORIES: dict"),
        ("tests/workflows/test_theories.py", "THEORIES = ["),
        ("workflows/campaign.py", "GenerateCandidates(**which)"),
        ("gnome_torch/candidates/random_search/search.py", "class CellGenerator(Protocol)"),
        ("gnome_torch/candidates/random_search/search.py", "GENERATORS = "),
        ("gnome_torch/models/checkpoint.py", "ARCHITECTURES: dict"),
        ("tests/gnome_torch/test_models.py", "NETWORKS: dict"),
        ("workflows/firetasks/train.py", "def shape_and_training("),
    ],
)
def test_the_lines_to_change_are_there(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()
    assert file in PAGE.read_text()
