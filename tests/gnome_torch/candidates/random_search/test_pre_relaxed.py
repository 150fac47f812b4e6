"""Pre-relaxed crystals of a search: which go on, and their file."""

from __future__ import annotations

from pathlib import Path

from pymatgen.core import Lattice, Structure

from gnome_torch.candidates.random_search.pre_relaxed import (
    PreRelaxed,
    chosen_crystals,
    read_pre_relaxed,
    write_pre_relaxed,
)
from gnome_torch.candidates.random_search.search import RandomCrystal
from gnome_torch.records import Relaxation


def crystal(attempt: int) -> RandomCrystal:
    lattice = Lattice.tetragonal(4.0, 4.0 * 1.7**attempt)
    return RandomCrystal(Structure(lattice, ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]), attempt, 1, 1.0, 1, "pyxtal")


def relaxed(some: RandomCrystal, energy: float) -> PreRelaxed:
    return PreRelaxed(some.attempt, Relaxation(some.structure, energy, True, 5))


def test_the_lowest_different_ones_go_on() -> None:
    crystals = [crystal(i) for i in range(5)]
    same = RandomCrystal(crystals[0].structure.make_supercell([2, 1, 1], in_place=False), 9, 2, 1.0, 1, "pyxtal")
    results = [relaxed(c, float(-c.attempt)) for c in crystals] + [relaxed(same, -20.0), PreRelaxed(7, None, "broke")]
    chosen = chosen_crystals([*crystals, same], results, 3)
    # per atom: the supercell at -5, then 4 at -2 and 3 at -1.5; 0 is the supercell's crystal
    assert [c.attempt for c, _ in chosen] == [9, 4, 3]
    assert [c.attempt for c, _ in chosen_crystals([*crystals, same], results, 10)] == [9, 4, 3, 2, 1]
    assert [c.attempt for c, _ in chosen_crystals(crystals, None, 2)] == [0, 1, 2, 3, 4]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert read_pre_relaxed(path) == []
    results = [relaxed(crystal(0), -1.0), PreRelaxed(1, None, "broke"), relaxed(crystal(2), -3.0)]
    for result in results:
        write_pre_relaxed(result, path)
    whole = path.read_bytes()
    assert read_pre_relaxed(path) == results
    for cut in range(1, 60, 7):
        path.write_bytes(whole[:-cut])
        assert read_pre_relaxed(path) == results[:2]
        write_pre_relaxed(results[2], path)
        assert path.read_bytes() == whole
