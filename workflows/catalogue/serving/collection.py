"""Documents as optimade's server asks for them.

Its own collection skips to a page, and sorts and counts all matches for each. Here the ids that match a filter are
found once, in their order, and a page is a slice of them: the last page costs what the first one does, on any server.
After documents have changed, they are found anew when someone asks for a first page: who is on a later one goes on
through the list that he began with.
"""

from __future__ import annotations

import json
import threading
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimade.exceptions import BadRequest
from optimade.filtertransformers.mongo import MongoTransformer
from optimade.server.entry_collections import EntryCollection
from optimade.warnings import OptimadeWarning

from workflows.store.base import chunks

if TYPE_CHECKING:
    from optimade.models import EntryResource
    from optimade.server.config import ServerConfig
    from optimade.server.mappers import BaseResourceMapper
    from optimade.server.query_params import EntryListingQueryParams

MAX_IDS = 1_000_000  # remembered, of all filters together: about 80 MB
MAX_FILTERS = 1000


@dataclass(frozen=True)
class _Matches:
    """Ids that match a filter.

    Attributes:
        generation: of the documents, when they were found.
        ids: in their order.
    """

    generation: int
    ids: list[str]


def _key(query: Mapping[str, Any], sort: Sequence[tuple[str, int]]) -> str:
    return json.dumps([query, sort], sort_keys=True, default=str)


class PublishedCollection(EntryCollection):
    """One kind of document.

    Args:
        collection: of the database.
        resource: optimade's model of them.
        mapper: its names of properties; ours are the same.
        config: of the server.
        scope: query for those that are served.
    """

    def __init__(
        self,
        collection: Any,
        resource: type[EntryResource],
        mapper: BaseResourceMapper,
        config: ServerConfig,
        scope: Mapping[str, Any],
    ) -> None:
        super().__init__(resource, mapper, MongoTransformer(mapper=mapper), config)
        self.collection = collection
        self.scope = dict(scope)
        self.notice: str | None = None  # what every answer is to warn of
        self._generation = 0  # of the documents
        self._matches: OrderedDict[str, _Matches] = OrderedDict()
        self._lock = threading.Lock()  # requests come in threads

    def __len__(self) -> int:
        return self.count(filter={})

    def insert(self, data: list[Any]) -> None:
        """Nothing is written through the server.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("what is served is written by workflows.catalogue.serving.documents")

    def count(self, **criteria: Any) -> int:
        """How many documents match `filter`."""
        return len(self.matches(criteria["filter"]))

    def matches(
        self, query: Mapping[str, Any], sort: Sequence[tuple[str, int]] = (), goes_on: bool = False
    ) -> list[str]:
        """Ids of the documents that match a query, in the order of fields and then of the ids.

        Args:
            query: in MongoDB's language.
            sort: fields, and 1 or -1.
            goes_on: what was found before will do, though documents have changed since.
        """
        key = _key(query, sort)
        with self._lock:
            known = self._matches.get(key)
            if known and (goes_on or known.generation == self._generation):
                self._matches.move_to_end(key)
                return known.ids
            generation = self._generation  # before the documents are read: they may change meanwhile
        matches = self._find(query, sort, generation)
        with self._lock:
            self._matches[key] = matches
            self._matches.move_to_end(key)
            while len(self._matches) > MAX_FILTERS or (
                len(self._matches) > 1 and sum(len(kept.ids) for kept in self._matches.values()) > MAX_IDS
            ):
                self._matches.popitem(last=False)
        return matches.ids

    def forget(self) -> None:
        """After documents have changed; all of them are found anew here, for no client to wait for it."""
        everything = self._find({}, (), self._generation + 1)
        with self._lock:
            self._generation = everything.generation
            self._matches[_key({}, ())] = everything

    def _find(self, query: Mapping[str, Any], sort: Sequence[tuple[str, int]], generation: int) -> _Matches:
        documents = self.collection.find(self._within(query), {"_id": 1})
        if sort:
            return _Matches(generation, [document["_id"] for document in documents.sort([*sort, ("_id", 1)])])
        return _Matches(generation, sorted(document["_id"] for document in documents))

    def handle_query_params(self, params: Any) -> dict[str, Any]:
        """A question as criteria for the database.

        Raises:
            BadRequest: it asks for a page in two ways.
        """
        criteria: dict[str, Any] = super().handle_query_params(params)
        if "page_above" in criteria and "sort" in criteria:
            raise BadRequest(detail="page_above goes with the order of the ids: with sort, use page_offset")
        criteria["projection"]["_id"] = False
        return criteria

    def get_next_query_params(self, params: EntryListingQueryParams, results: Any) -> dict[str, list[str]]:
        """What the address of the next page asks for."""
        if params.page_number is not None:
            return {"page_number": [str(max(params.page_number, 1) + 1)]}
        if params.sort or params.page_offset or not results:
            limit = params.page_limit or self.config.page_limit  # a document may be gone: never len(results)
            return {"page_offset": [str((params.page_offset or 0) + limit)]}
        return {"page_above": [results[-1]["id"]]}

    def _run_db_query(
        self, criteria: dict[str, Any], single_entry: bool = False
    ) -> tuple[list[dict[str, Any]], int | None, bool]:
        if self.notice:
            warnings.warn(OptimadeWarning(detail=self.notice, title="BeingWritten"), stacklevel=2)
        limit, projection = criteria["limit"], criteria["projection"]
        if single_entry:
            rows = list(self.collection.find(self._within(criteria["filter"]), projection).limit(2))
            return rows, len(rows), False
        above, start = criteria.get("page_above"), criteria.get("skip", 0)
        ids = self.matches(criteria["filter"], criteria.get("sort", ()), goes_on=bool(above or start))
        if above is not None:
            start = bisect_right(ids, above)
        rows = self._documents(ids[start : start + limit], projection)
        while above is not None and not rows and start + limit < len(ids):  # withdrawn, all of them
            start += limit
            rows = self._documents(ids[start : start + limit], projection)
        return rows, len(ids), start + limit < len(ids)

    def _documents(self, page: list[str], projection: Mapping[str, Any]) -> list[dict[str, Any]]:
        documents = {
            document["id"]: document
            for part in chunks(page)
            for document in self.collection.find({"_id": {"$in": part}}, projection)
        }
        return [documents[key] for key in page if key in documents]

    def _within(self, query: Mapping[str, Any]) -> dict[str, Any]:
        if not self.scope or not query:
            return dict(self.scope or query)
        return {"$and": [self.scope, dict(query)]}
