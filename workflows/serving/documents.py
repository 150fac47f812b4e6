"""Entries as OPTIMADE documents, kept in the database: written once, and again only when they have changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymatgen.core import Structure

from gnome_torch.records import content_hash
from workflows.serving.fields import FIELDS, Found
from workflows.serving.references import PAPERS, paper_document, papers_of
from workflows.store import Store, now

BATCH = 200  # documents made and written together
VERSION = 1  # of what this module writes: a change of it writes everything anew
STANDARD_INDEXED = (
    "nelements",
    "elements",
    "nsites",
    "chemical_formula_reduced",
    "chemical_formula_anonymous",
    "last_modified",
)

LINKS = (
    {
        "id": "gnome",
        "type": "links",
        "name": "gnome-torch",
        "description": "Phases that campaigns of gnome-torch have found, in this database",
        "base_url": None,
        "homepage": None,
        "link_type": "root",
        "aggregate": "ok",
    },
)


@dataclass(frozen=True)
class Refreshed:
    """What a look at the entries came to.

    Attributes:
        changed: structures that were written or withdrawn.
        state: hash of the structures that were looked at, whoever wrote them.
    """

    changed: int
    state: str


def prepare(store: Store) -> None:
    """Write what does not depend on the entries, and create the indexes; safe to repeat."""
    store.prepare_published([*STANDARD_INDEXED, *(field.key for field in FIELDS if field.indexed)])
    _update(store, "references", PAPERS, lambda keys: [paper_document(key) for key in keys])
    links = {str(link["id"]): link for link in LINKS}
    _update(store, "links", links, lambda keys: [dict(links[key]) for key in keys])


def refresh(
    store: Store, since: datetime | None = None, tell: Callable[[int, int], None] = lambda written, of: None
) -> Refreshed:
    """Bring the structures up to what the entries say; repeated, it changes nothing.

    Args:
        store: the database.
        since: look only at what may have changed since then; None for everything.
        tell: called with how many structures have been written, and how many are to be.
    """
    touched = None if since is None else store.touched(since)
    entries = {entry["_id"]: entry for entry in store.found_crystals(touched)}
    imported = store.known_outside({entry["formula"] for entry in entries.values()})
    second = store.second_opinions()
    properties = {
        key: _properties(Found(entry, entry["formula"] in imported, second.get(key))) for key, entry in entries.items()
    }

    def structures(keys: list[str]) -> list[dict[str, Any]]:
        return [
            {**crystal_properties(crystal), **properties[key], "id": key, "immutable_id": key, "type": "structures"}
            for key, crystal in store.structures(keys).items()
        ]

    changed = _update(store, "structures", properties, structures, touched, tell)
    withdrawn = dict.fromkeys(touched or (), "")
    return Refreshed(changed, content_hash(withdrawn | _digests(properties)))


def crystal_properties(crystal: Structure) -> dict[str, Any]:
    """OPTIMADE's own properties of an ordered crystal."""
    from optimade.adapters.structures.pymatgen import from_pymatgen

    found = from_pymatgen(crystal).model_dump(mode="json", exclude_none=True)
    found["species"].sort(key=lambda species: species["name"])
    return dict(found)


def _properties(found: Found) -> dict[str, Any]:
    """What a document has beside its crystal, which never changes."""
    cited = [{"type": "references", "id": paper} for paper in papers_of(found.entry)]
    return {
        "space_group_it_number": found.entry["spacegroup"]["number"],
        **{field.key: field.value(found) for field in FIELDS},
        "relationships": {"references": {"data": cited}},
    }


def _digests(wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {key: content_hash({"version": VERSION, "content": content}) for key, content in wanted.items()}


def _update(
    store: Store,
    kind: str,
    wanted: Mapping[str, Mapping[str, Any]],
    documents: Callable[[list[str]], list[dict[str, Any]]],
    among: Collection[str] | None = None,
    tell: Callable[[int, int], None] = lambda written, of: None,
) -> int:
    """Write the documents of a kind that are new or changed, and withdraw those that are no longer wanted.

    Args:
        store: the database.
        kind: of document.
        wanted: id -> what tells whether a document has changed.
        documents: makes them, without dates.
        among: ids that `wanted` was chosen from: documents of others stay; None for all.
        tell: called with how many have been written, and how many are to be.

    Returns:
        How many were written or withdrawn.
    """
    there = store.digests(kind, among)
    gone = there.keys() - wanted.keys()
    store.withdraw(kind, gone)
    digests = _digests(wanted)
    changed = sorted(key for key, digest in digests.items() if there.get(key) != digest)
    for start in range(0, len(changed), BATCH):
        tell(start, len(changed))
        made = documents(changed[start : start + BATCH])
        moment = now().replace(microsecond=0)  # clients compare it as text of whole seconds
        stamped = [{**d, "_id": d["id"], "last_modified": moment, "digest": digests[d["id"]]} for d in made]
        store.publish(kind, stamped, there)
    return len(changed) + len(gone)
