"""What is new about the entries that campaigns found, beside everything that the database knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import cache

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.stability.novelty import first_duplicate, nearest_analogue, prototype_of
from workflows.store import Store

NEAR = 0.1  # eV/atom above the hull; beyond it nobody asks


def judge(store: Store, keys: Collection[str]) -> None:
    """Write down what is new about entries: their prototype, and whether an older entry is the same crystal."""
    judge_prototypes(store, keys)
    for key in keys:
        if store.entries.get(key) is not None:
            older = store.finds.older_crystals(key)
            store.finds.set_novelty(key, duplicate_of=first_duplicate(store.entries.structures([key])[key], older))


def judge_prototypes(store: Store, keys: Collection[str]) -> None:
    """Write down whether the prototype of entries is new, and their nearest known analogue.

    Known are the first data of all campaigns and what was imported; where these have no crystal of the prototype, the
    library of prototypes.
    """
    read = cache(store.finds.known_of_prototype)  # many entries share a prototype
    for key, document in store.entries.documents_of(keys, ("formula", "novelty.prototype")).items():
        prototype = document["novelty"]["prototype"]
        known = [(other, formula) for other, formula in read(prototype) if other != key] if prototype else []
        if prototype and not known:
            known = library_prototypes().get(prototype, [])
        store.finds.set_novelty(
            key,
            new_prototype=prototype is not None and not known,
            analogue=nearest_analogue(document["formula"], known),
        )


def join_mirror_images(store: Store) -> int:
    """Give both hands of a crystal one prototype where an earlier version gave them two, without looking at crystals.

    Returns:
        How many prototypes have been joined.
    """
    joined = store.finds.join_mirror_images()
    for prototype in sorted(joined):
        judge_prototypes(store, store.finds.proposed_of_prototype(prototype))
    return len(joined)


@cache
def library_prototypes() -> dict[str | None, list[tuple[str, str]]]:
    """Key and reduced formula of the prototypes that campaigns begin with, by label."""
    library: dict[str | None, list[tuple[str, str]]] = defaultdict(list)
    for key, structure in prototypes().items():
        library[prototype_of(structure)].append((key, structure.reduced_formula))
    return dict(library)
