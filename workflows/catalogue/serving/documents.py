"""Entries as OPTIMADE documents, kept in the database: written once, and again only when they have changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pymatgen.core import Structure

from gnome_torch.records import content_hash
from workflows.catalogue.known import NOT_ASKED, Known, Recheck
from workflows.catalogue.serving.fields import PROPERTIES
from workflows.catalogue.serving.references import PAPERS, paper_document, papers_of
from workflows.store import Store, now
from workflows.store.base import Document, chunks

AT_ONCE = 200  # entries: a query for all keeps the embedded server from answering others, and fills its memory
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
    store.published.prepare([*STANDARD_INDEXED, *(served.key for served in PROPERTIES if served.indexed)])
    links = {str(link["id"]): link for link in LINKS}
    _update(store, "links", links, links, lambda keys: [dict(links[key]) for key in keys])
    _update(store, "references", PAPERS, PAPERS, lambda keys: [paper_document(key) for key in keys])


def refresh(
    store: Store,
    since: datetime | None = None,
    tell: Callable[[int, float], None] = lambda written, looked_at: None,
    at_once: int = AT_ONCE,
) -> Refreshed:
    """Bring the structures up to what the entries say; repeated, it changes nothing.

    Args:
        store: the database.
        since: look only at what may have changed since then; None for everything.
        tell: called, again and again, with how many structures have been written or withdrawn, and which part of the
            entries has been looked at, from 0 to 1.
        at_once: entries of a look at the database.
    """
    rechecks = _rechecks(store)
    changed = 0
    state: dict[str, str] = {}
    keys = store.published.found_or_published() if since is None else store.published.touched(since)
    for part in chunks(keys, at_once):
        tell(changed, len(state) / len(keys))
        entries = store.published.found_crystals(part)
        properties = {
            entry["_id"]: _properties(Known(entry, recheck=rechecks.get(entry["_id"], NOT_ASKED))) for entry in entries
        }
        changed += _update(store, "structures", part, properties, partial(_structures, store, properties))
        state |= dict.fromkeys(part, "") | _digests(properties)
    return Refreshed(changed, content_hash(state))


def _rechecks(store: Store) -> dict[str, Recheck]:
    """Where phases stand at the theory of their recheck, by entry; only those that are placed there."""
    return {
        key: Recheck(document["theory"], float(document["stability"]["e_above_hull"]))
        for key, document in store.published.rechecks().items()
    }


def _structures(store: Store, properties: Mapping[str, Document], keys: Collection[str]) -> list[Document]:
    """Documents of entries: their crystals, and what else they have."""
    return [
        {**crystal_properties(crystal), **properties[key], "id": key, "immutable_id": key, "type": "structures"}
        for key, crystal in store.entries.structures(keys).items()
    ]


def crystal_properties(crystal: Structure) -> Document:
    """OPTIMADE's own properties of an ordered crystal."""
    from optimade.adapters.structures.pymatgen import from_pymatgen

    properties = from_pymatgen(crystal).model_dump(mode="json", exclude_none=True)
    properties["species"].sort(key=lambda species: species["name"])
    return dict(properties)


def _properties(known: Known) -> Document:
    """What a document has beside its crystal, which never changes."""
    cited = [{"type": "references", "id": paper} for paper in papers_of(known.document)]
    return {
        "space_group_it_number": known.document["spacegroup"]["number"],
        **{served.key: served.value(known) for served in PROPERTIES},
        "relationships": {"references": {"data": cited}},
    }


def _digests(wanted: Mapping[str, Document]) -> dict[str, str]:
    return {key: content_hash({"version": VERSION, "content": content}) for key, content in wanted.items()}


def _update(
    store: Store,
    kind: str,
    keys: Collection[str],
    wanted: Mapping[str, Document],
    documents: Callable[[list[str]], list[Document]],
) -> int:
    """Write the documents of a kind that are new or changed, and withdraw those that are no longer wanted.

    Args:
        store: the database.
        kind: of document.
        keys: of the documents that this is about.
        wanted: id -> what tells whether a document has changed; those of the keys that are to be there.
        documents: makes them, without dates.

    Returns:
        How many were written or withdrawn.
    """
    there = store.published.digests(kind, keys)
    digests = _digests(wanted)
    gone = there.keys() - wanted.keys()
    changed = sorted(key for key, digest in digests.items() if there.get(key) != digest)
    moment = now().replace(microsecond=0)  # clients compare it as text of whole seconds
    stamped = [{**d, "_id": d["id"], "last_modified": moment, "digest": digests[d["id"]]} for d in documents(changed)]
    store.published.withdraw(kind, gone)
    store.published.write(kind, stamped, there)
    return len(changed) + len(gone)
