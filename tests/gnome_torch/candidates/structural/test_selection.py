"""Which candidates are kept: the limit is shared out, so that none of their origins starves the others."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.parents import ParentError, parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import plan, stream
from gnome_torch.candidates.structural.proposals import StructuralOptions
from gnome_torch.candidates.structural.selection import ORIGINS, Selection, selected, shared_out
from gnome_torch.candidates.structural.substitution import SubstitutionRules

SHARES = (3.0, 1.0, 1.0, 1.0)
TRUE = {
    ("KMgF3", "aflow:AB3C_cP5_221_a_c_b"),  # perovskite
    ("KCaF3", "aflow:AB3C_oP20_62_c_cd_a"),  # GdFeO3
    ("K2MgF4", "aflow:AB2C4_tI14_139_a_e_ce"),  # K2NiF4
    ("CaMg2", "aflow:AB2_hP12_194_f_ah"),  # MgZn2
}


@pytest.mark.parametrize(
    ("limit", "shares", "available", "expected"),
    [
        (100, (1, 1), (200, 200), (50, 50)),
        (100, (3, 1), (200, 200), (75, 25)),
        (100, (3, 1), (10, 200), (10, 90)),
        (100, (3, 1), (200, 10), (90, 10)),
        (100, (2, 1, 1), (10, 200, 200), (10, 45, 45)),
        (100, (2, 1, 1), (10, 20, 200), (10, 20, 70)),
        (100, (1, 1), (20, 30), (20, 30)),
        (100, (1, 0), (40, 200), (40, 60)),
        (100, (1, 0, 0), (40, 20, 200), (40, 20, 40)),
        (10, (1, 1, 1), (9, 9, 9), (4, 3, 3)),
        (1, (1, 1, 1), (0, 0, 5), (0, 0, 1)),
        (5, (1, 1), (0, 0), (0, 0)),
    ],
)
def test_shares(limit: int, shares: tuple[float, ...], available: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert tuple(shared_out(limit, shares, np.array(available))) == expected


def test_whatever_the_shares_the_limit_is_used_up() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        available, shares = rng.integers(0, 60, size=4), rng.random(4) * rng.integers(0, 2, size=4)
        limit = int(rng.integers(1, 200))
        taken = shared_out(limit, shares, available)
        assert taken.sum() == min(limit, available.sum())
        assert (taken >= 0).all()
        assert (taken <= available).all()
        if shares.any():  # whoever has a share gets it, but for what rounding takes
            entitled = np.minimum(available, np.floor(shares / shares.sum() * limit))
            assert (taken >= entitled - 1).all()


@pytest.fixture(scope="module")
def fluorides() -> list[pa.Table]:
    """The library with K, Ca, Mg, F on it, as the quick start asks for it."""
    parents = []
    for key, structure in prototypes().items():
        try:
            parents.append(parent_of(key, structure, 20))
        except ParentError:
            continue
    policy = ElementPolicy(frozenset({"K", "Ca", "Mg", "F"}), charge_balance=True)
    options = StructuralOptions(policy, SubstitutionRules(1e-6), saps=False, assignments=2000)
    return list(stream(plan(parents, options)))


def of_entries(tables: list[pa.Table], number: int, source: str = "saps", probability: float = 0.9) -> pa.Table:
    """As many candidates as a campaign's own entries may give."""
    table = pa.concat_tables(tables).slice(0, number)
    columns = {
        "id": [hashlib.sha256(f"{source}{key}".encode()).hexdigest()[:24] for key in table["id"].to_pylist()],
        "parent_id": ["0123456789abcdef"] * number,
        "source": [source] * number,
        "probability": [probability] * number,
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values).cast(table.schema.field(name).type))
    return table


def kept(tables: list[pa.Table], selection: Selection) -> pa.Table:
    return pa.concat_tables(selected(tables, selection))


def phases(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(table["formula"].to_pylist(), table["parent_id"].to_pylist(), strict=True))


def test_saps_starves_nobody(fluorides: list[pa.Table]) -> None:
    """Five hundred more probable ones, and as many full substitutions in entries, round after round."""
    tables = [*fluorides, of_entries(fluorides, 500), of_entries(fluorides, 500, "substitution")]
    assert sum(table.num_rows for table in fluorides) > 1200  # the library alone is more than the limit
    tried: set[str] = set()
    for _ in range(3):
        fresh = [table.filter(pa.array([key not in tried for key in table["id"].to_pylist()])) for table in tables]
        chosen = kept(fresh, Selection(600, shares=SHARES))
        assert chosen.num_rows == 600
        assert phases(chosen) >= TRUE
        sources = chosen["source"].to_pylist()
        assert sources.count("saps") == 120
        assert chosen["parent_id"].to_pylist().count("0123456789abcdef") == 240
        assert kept(fresh, Selection(600, shares=SHARES)).equals(chosen)
        rows = zip(chosen["id"].to_pylist(), chosen["formula"].to_pylist(), strict=True)
        tried |= {key for key, formula in list(rows)[:60] if formula not in {formula for formula, _ in TRUE}}
    # without shares they are gone
    assert not phases(kept(tables, Selection(600))) >= TRUE


def test_an_unused_share_goes_to_the_others(fluorides: list[pa.Table]) -> None:
    few = [*fluorides, of_entries(fluorides, 20)]
    chosen = kept(few, Selection(600, shares=SHARES))
    assert chosen.num_rows == 600
    assert chosen["source"].to_pylist().count("saps") == 20
    everything = kept(few, Selection(10_000, shares=SHARES))
    assert everything.num_rows == sum(table.num_rows for table in few)


@pytest.mark.parametrize("order", ["probable", "random"])
def test_shares_do_not_depend_on_how_memory_is_kept(
    fluorides: list[pa.Table], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [*fluorides, of_entries(fluorides, 500)]
    selection = Selection(60, order, shares=SHARES)  # type: ignore[arg-type]
    at_once = kept(tables, selection)["id"].to_pylist()
    monkeypatch.setattr("gnome_torch.candidates.structural.selection.KEPT", 100)
    assert kept(tables, selection)["id"].to_pylist() == at_once
    assert len(ORIGINS) == len(SHARES)
