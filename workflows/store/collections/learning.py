"""What networks learn from: crystals and compositions with their formation energies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Some
from collections.abc import Mapping
from datetime import datetime

from pymatgen.core import Structure

from workflows.store.base import Collection
from workflows.store.collections.entries import within

MAX_INITIAL = 3.0  # eV/atom


class Learning(Collection):
    """Reads of `entries` for the networks."""

    name = "entries"

    def training_data(
        self, theory: str, elements: Some[str], until: datetime, starts: str
    ) -> list[tuple[str, Structure, float]]:
        """What networks learn from: key, crystal, formation energy (eV/atom).

        Every entry that was written up to a moment and placed on a hull, as it is relaxed; and, under `KEY:initial`,
        the crystal that its relaxation began from. Candidates are judged before they are relaxed: networks that have
        seen relaxed crystals alone take a bad geometry for a good one (measured on Li-Mg-Al-O: 3 eV/atom too low).

        Args:
            theory: key.
            elements: of the entries.
            until: moment.
            starts: what a start is said to have: "relaxed", the energy that it relaxes to, so that the networks foresee
                the relaxation; "own", the energy before it; "none": starts are left out. So are, in any case, random
                crystals, which no network is asked about, and starts more than MAX_INITIAL above their end.
        """
        query = {**within(theory, elements), "created": {"$lte": until}, "stability": {"$ne": None}}
        query["structure"] = {"$ne": None}
        rows = []
        for document in sorted(self.documents.find(query), key=lambda document: document["_id"]):
            energy = float(document["stability"]["formation_energy"])
            rows.append((document["_id"], Structure.from_dict(document["structure"]), energy))
            initial = document.get("initial")
            if initial is None or starts == "none" or (document.get("lineage") or {}).get("source") == "random":
                continue
            own = initial["energy"]
            above = (own - document["energy"]) / document["nsites"] if own is not None else None
            if (above is None and starts == "own") or (above is not None and above > MAX_INITIAL):
                continue
            said = energy + (above or 0.0) if starts == "own" else energy
            rows.append((f"{document['_id']}:initial", Structure.from_dict(initial["structure"]), said))
        return rows

    def composition_labels(
        self,
        theory: str,
        elements: Some[str],
        until: datetime,
        min_runs: int,
        pre_relaxed: Mapping[str, int],
        unfinished: Some[str] = (),
        first_data: Some[str] | None = (),
    ) -> list[tuple[str, float]]:
        """What composition networks learn from: reduced formula, formation energy (eV/atom), in their order.

        An element counts always, with 0. A compound counts with enough finished runs of random search, and has the
        lowest energy of all its entries then: the lowest of a few runs, or of one crystal that a campaign came to, need
        not be near the lowest there is (Merchant et al., Methods). So does, unless it is forbidden, one that was known
        before anything was searched, or no network could ever be trained.

        Args:
            theory: key of the theory.
            elements: compounds of no other elements.
            until: entries that were written up to here.
            min_runs: finished runs of random search at least.
            pre_relaxed: finished pre-relaxations of each composition, from which the lowest went on.
            unfinished: compositions whose random search goes on, and whose lowest may be to come.
            first_data: compositions that count like imported ones; None: neither these nor imported ones count.
        """
        query = {**within(theory, elements), "created": {"$lte": until}, "stability": {"$ne": None}}
        fields = ("formula", "nelements", "source", "stability.formation_energy")
        lowest: dict[str, float] = {}
        runs = Counter[str]()
        known = set(first_data or ())
        for document in self.documents.find(query, dict.fromkeys(fields, 1)):
            formula, energy = document["formula"], float(document["stability"]["formation_energy"])
            if document["nelements"] == 1:
                lowest[formula] = 0.0
                known.add(formula)
                continue
            lowest[formula] = min(energy, lowest.get(formula, energy))
            runs[formula] += document["source"] == "random"
            if first_data is not None and document["source"] == "outside":
                known.add(formula)

        def is_label(formula: str) -> bool:
            enough = max(runs[formula], pre_relaxed.get(formula, 0)) >= min_runs
            return formula in known or (enough and formula not in unfinished)

        return [(formula, energy) for formula, energy in sorted(lowest.items()) if is_label(formula)]
