"""What is new about the entries that campaigns found, beside everything that the database knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.stability.novelty import first_duplicate, nearest_analogue, prototype_of
from workflows.store import Store

NEAR = 0.1  # eV/atom above the hull; beyond it nobody asks


def judge(store: Store, keys: Iterable[str]) -> None:
    """Write down for entries whether their prototype is new, and which known crystals are like them.

    These are the nearest analogue, and an older entry that is the same crystal.
    Known are the first data of all campaigns and what was imported; where these have no crystal of the prototype, the
    library of prototypes.
    """
    for key in keys:
        document = store.entries.get(key)
        if document is None:
            continue
        prototype = document["novelty"]["prototype"]
        known = [some for some in store.entries.known_of_prototype(prototype) if some[0] != key] if prototype else []
        known = known or (library_prototypes().get(prototype, []) if prototype else [])
        store.entries.set_novelty(
            key,
            new_prototype=prototype is not None and not known,
            analogue=nearest_analogue(document["formula"], known),
            duplicate_of=first_duplicate(store.entries.structures([key])[key], store.entries.older_crystals(key)),
        )


@cache
def library_prototypes() -> dict[str | None, list[tuple[str, str]]]:
    """Key and reduced formula of the prototypes that campaigns begin with, by label."""
    found: dict[str | None, list[tuple[str, str]]] = defaultdict(list)
    for key, structure in prototypes().items():
        found[prototype_of(structure)].append((key, structure.reduced_formula))
    return dict(found)
