"""Which compositions teach the networks, and with which energy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, EntryEnergy, HullPoint, Lineage, Prediction
from workflows.store import OutsideEntry, SearchState, Store, now

THEORY = "emt-1"


class Books:
    """A database with the entries of copper and gold that a test asks for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 0

    def add(self, formula: Sequence[str], *energies: float, source: str = "random", number: int = 1) -> None:
        """Entries of one composition, of formation energies in eV/atom."""
        for energy in energies:
            self.count += 1
            sites = [[i / len(formula), 0, 0] for i in range(len(formula))]
            crystal = Structure(Lattice.cubic(4.0 + self.count / 100), formula, sites)
            key = f"{source}{self.count}"
            entry = Entry(key, crystal, energy * len(formula), 0.0, THEORY, Lineage(source, round=number))
            self.store.entries.add(entry, "c")
            self._place(key, energy)

    def make_later(self, source: str) -> None:
        """Entries of a source were written an hour from now."""
        later = {"$set": {"created": now() + timedelta(hours=1)}}
        self.store.database["entries"].update_many({"source": source}, later)

    def bring(self, formula: str, energy: float) -> None:
        """An import."""
        self.count += 1
        key = f"outside{self.count}"
        self.store.entries.add_outside(
            [OutsideEntry(key, None, EntryEnergy(key, formula, energy, 0.0, THEORY))], "mp", "1", replaces=False
        )
        self._place(key, energy)

    def _place(self, key: str, energy: float) -> None:
        self.store.entries.set_stability(THEORY, {key: HullPoint(energy, 0.0, energy, {key: 1.0})}, now(), 1)

    def labels(self, min_runs: int = 3, until: datetime | None = None, **more: Any) -> dict[str, float]:
        pre_relaxed = self.store.searches.pre_relaxed_runs(THEORY, until or now())
        found = self.store.learning.composition_labels(
            THEORY, ["Cu", "Au"], until or now(), min_runs, pre_relaxed, **more
        )
        assert found == sorted(found)
        return dict(found)


@pytest.fixture
def books(launchpad: LaunchPad) -> Books:
    store = Store(launchpad.db)
    store.prepare()
    return Books(store)


CU_AU, CU2_AU, CU3_AU, CU_AU2 = ["Cu", "Au"], ["Cu", "Cu", "Au"], ["Cu", "Cu", "Cu", "Au"], ["Cu", "Au", "Au"]


def test_a_composition_with_enough_finished_runs_is_a_label_with_its_lowest_energy(books: Books) -> None:
    books.add(CU_AU, -0.1, -0.3, -0.2)
    books.add(CU2_AU, -0.5, -0.6)
    assert books.labels(min_runs=3) == {"CuAu": -0.3}
    assert books.labels(min_runs=2) == {"CuAu": -0.3, "Cu2Au": -0.6}


@pytest.mark.parametrize("source", ["saps", "substitution", "prototype", "file"])
def test_a_structural_find_is_no_label(books: Books, source: str) -> None:
    """Nor are twenty: it takes runs of random search."""
    books.add(CU3_AU, *[-0.2 - i / 100 for i in range(20)], source=source)
    assert books.labels() == {}


def test_the_lowest_of_a_searched_composition_may_come_from_elsewhere(books: Books) -> None:
    books.add(CU3_AU, -0.20, -0.21, -0.22)
    books.add(CU3_AU, -0.25, source="saps")
    books.bring("Cu3Au", -0.26)
    assert books.labels(first_data=None) == {"Cu3Au": -0.26}


def test_finds_do_not_add_to_the_runs(books: Books) -> None:
    books.add(CU3_AU, -0.20, -0.21)
    books.add(CU3_AU, -0.25, source="saps")
    assert books.labels() == {}


def test_elements_are_labels_always(books: Books) -> None:
    """At 0, although only a crystal above the element's lowest was there in time."""
    books.add(["Cu"], 0.05, source="element", number=0)
    books.add(["Ag"], 0.0, source="element", number=0)  # of no campaign of copper and gold
    books.add(["Cu"], 0.0, source="saps")
    books.make_later("saps")
    assert books.labels(first_data=None) == {"Cu": 0.0}


def test_what_was_known_is_a_label_unless_it_is_forbidden(books: Books) -> None:
    """Imported, or of the campaign's first data: the lowest of all crystals of it, found ones among them."""
    books.bring("Cu3Au", -0.20)
    books.bring("Cu3Au", -0.22)
    books.add(CU3_AU, -0.23, source="saps")
    books.add(CU2_AU, -0.10, -0.12, source="prototype", number=0)
    books.add(CU_AU2, -0.15, source="prototype", number=0)  # of another campaign
    assert books.labels(first_data={"Cu2Au"}) == {"Cu3Au": -0.23, "Cu2Au": -0.12}
    assert books.labels(first_data=None) == {}


def test_pre_relaxed_runs_count_and_those_of_two_campaigns_do_not_add_up(books: Books) -> None:
    books.add(CU_AU2, -0.3)
    searches = books.store.searches
    for campaign in ("c", "d"):  # the same crystals again
        searches.select(campaign, 1, THEORY, [("CuAu2", Prediction("CuAu2", -0.3, 0.0, 1.0), 0.0)], "m")
        searches.end(campaign, "CuAu2", SearchState.SEARCHED, counts={"pre_relaxed": 5})
    assert searches.pre_relaxed_runs(THEORY, datetime(2020, 1, 1)) == {}
    assert searches.pre_relaxed_runs(THEORY, now()) == {"CuAu2": 5}
    assert books.labels(min_runs=5) == {"CuAu2": -0.3}
    assert books.labels(min_runs=6) == {}


def test_a_search_that_goes_on_has_not_found_its_lowest_yet(books: Books) -> None:
    books.add(CU_AU2, -0.3, -0.31, -0.32)
    books.add(CU_AU, -0.1, -0.11, -0.12)
    searches = books.store.searches
    searches.select("d", 1, THEORY, [("CuAu2", Prediction("CuAu2", -0.3, 0.0, 1.0), 0.0)], "m")
    searches.end("d", "CuAu2", SearchState.SEARCHED, counts={})
    assert searches.unfinished(THEORY, now()) == set()
    books.store.database["candidates"].insert_one(
        {"_id": "d/x", "campaign": "d", "search": "CuAu2", "state": "selected"}
    )
    unfinished = searches.unfinished(THEORY, now())
    assert unfinished == {"CuAu2"}
    assert set(books.labels(unfinished=unfinished)) == {"CuAu"}


def test_what_was_written_later_is_not_seen(books: Books) -> None:
    books.add(CU_AU, -0.1, -0.2, -0.3)
    books.add(CU_AU, -0.4, source="saps")
    assert books.labels() == {"CuAu": -0.4}
    books.make_later("saps")
    assert books.labels() == {"CuAu": -0.3}
    books.make_later("random")
    assert books.labels() == {}
