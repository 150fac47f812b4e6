"""What the baseline says of a round's candidates, before the networks are asked.

All get single points. The most promising of them, some of each composition, then take the first steps of a relaxation:
a start that its parent's geometry misfits is easily 0.1 eV/atom above what it relaxes to, and only after these steps
are two compositions compared fairly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pymatgen.core import Structure

from gnome_torch.candidates.tables.shards import read_parents, read_shards
from gnome_torch.devices import one_thread_unless_told
from gnome_torch.records import EntryEnergy
from gnome_torch.stability.formulas import fractions_of
from gnome_torch.stability.hull import Hull, MissingReferenceError
from workflows.campaign.baseline import Judgements, computed_before, judgements_of
from workflows.campaign.campaign import Campaign
from workflows.ground.continuation import Stopped, never


def judge_candidates(campaign: Campaign, number: int, stopped: Stopped = never) -> dict[str, int]:
    """Compute every candidate of a round with the baseline's potential; what earlier rounds computed is there.

    Raises:
        StopRequested: a signal has asked to stop; what was computed before is kept.
    """
    one_thread_unless_told()
    places, judgements = campaign.places(number), judgements_of(campaign)
    parents = read_parents(places.candidates)
    formulas = {candidate.id: candidate.reduced_formula for candidate in read_shards(places.candidates)}

    def crystals(wanted: set[str]) -> Iterator[tuple[str, Structure]]:
        for candidate in read_shards(places.candidates):
            if candidate.id in wanted:
                yield candidate.id, candidate.structure(parents[candidate.parent_id])

    computed = judgements.compute_points(crystals(set(formulas)), stopped)
    promising = set(_shortlist(campaign, number, judgements, formulas))
    return {"computed": computed, "approached": judgements.approach(crystals(promising), stopped)}


def _shortlist(campaign: Campaign, number: int, judgements: Judgements, formulas: dict[str, str]) -> list[str]:
    """Keys of the candidates that take the first steps: the lowest of each composition, the nearest to the hull first.

    The hull is the potential's own, of the entries that are there.
    """
    screening = campaign.settings.screening
    names = list(formulas)
    distance = _distances(campaign, number, judgements, names, list(formulas.values()))
    order = [index for index in np.argsort(distance, kind="stable").tolist() if np.isfinite(distance[index])]
    taken: Counter[str] = Counter()
    chosen = []
    for index in order:
        formula = formulas[names[index]]
        if taken[formula] < screening.approached_per_composition:
            taken[formula] += 1
            chosen.append(names[index])
    return chosen[: screening.approached]


def _distances(
    campaign: Campaign, number: int, judgements: Judgements, names: Sequence[str], formulas: Sequence[str]
) -> np.ndarray:
    """How far candidates are above the potential's own hull of the entries that are there, eV/atom, (n,).

    Where the potential has no energy of one of the elements, their energies themselves.
    """
    entries = [
        EntryEnergy(key, structure.composition.reduced_formula, energy, 0.0, "baseline")
        for key, structure, energy in computed_before(campaign, number, judgements)
        if np.isfinite(energy)
    ]
    points = judgements.points(names)
    try:
        hull = Hull(entries)
        return hull.formation_energies(fractions_of(formulas), points) - hull.energies(formulas)
    except MissingReferenceError:
        return points
