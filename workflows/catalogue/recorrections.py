"""Corrections that another version of pymatgen made, made anew: a hull has those of one version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure

from gnome_torch.stability.corrections import HOLDING_MP2020, CorrectionScheme, UncorrectableError, correction, stamp
from workflows.store import Store
from workflows.store.base import Document


@dataclass(frozen=True)
class Recorrected:
    """What became of the old corrections of a theory.

    Attributes:
        renewed: entries whose correction was made anew.
        refused: entries that the scheme refuses by now, with the reason; they keep what they have.
    """

    renewed: int
    refused: Mapping[str, str]


def recorrect(store: Store, theory: str) -> Recorrected:
    """Make the corrections of a theory anew that are not of the pymatgen that is installed, from what is stored.

    Args:
        store: the database.
        theory: key of the theory. Imported entries without a scheme have what their source gave, and keep it.
    """
    renewed, refused = 0, {}
    own = next((c["scheme"] for c in store.campaigns.all() if c["theory"] == theory), "")
    for scheme in HOLDING_MP2020:
        mark = stamp(scheme) or {}
        for document in store.entries.corrected_otherwise(theory, mark, unmarked=own == scheme.value):
            try:
                store.entries.set_correction(document, _correction_of(document, scheme), mark)
                renewed += 1
            except UncorrectableError as error:
                refused[str(document["_id"])] = str(error)
    return Recorrected(renewed, refused)


def _correction_of(document: Document, scheme: CorrectionScheme) -> float:
    """The correction of an entry's cell, eV, by its crystal, its energy and what it was computed with.

    Raises:
        UncorrectableError: the scheme refuses it.
    """
    computed: Mapping[str, Any] = document.get("calculation") or (document.get("outside") or {}).get("parameters") or {}
    known = {name: computed[name] for name in ("run_type", "hubbards", "oxidation_states") if name in computed}
    return correction(Structure.from_dict(document["structure"]), document["energy"], scheme, known or None)
