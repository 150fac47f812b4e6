"""Documents as optimade's server asks for them.

Its own collection skips to a page, and sorts and counts all matches for each. Here the ids that match a filter are
found once, in their order, and a page is a slice of them: the last page costs what the first one does, on any server.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimade.exceptions import BadRequest
from optimade.filtertransformers.mongo import MongoTransformer
from optimade.server.entry_collections import EntryCollection

from workflows.store.connected import chunks

if TYPE_CHECKING:
    from optimade.models import EntryResource
    from optimade.server.config import ServerConfig
    from optimade.server.mappers import BaseResourceMapper
    from optimade.server.query_params import EntryListingQueryParams

MAX_IDS = 1_000_000  # remembered, of all filters together: about 80 MB
MAX_FILTERS = 1000


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
        self._matches: OrderedDict[str, list[str]] = OrderedDict()
        self._lock = threading.Lock()  # requests come in threads

    def __len__(self) -> int:
        return self.count(filter={})

    def insert(self, data: list[Any]) -> None:
        """Nothing is written through the server.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("what is served is written by workflows.serving.documents")

    def count(self, **criteria: Any) -> int:
        """How many documents match `filter`."""
        return len(self.matches(criteria["filter"]))

    def matches(self, query: Mapping[str, Any], sort: Sequence[tuple[str, int]] = ()) -> list[str]:
        """Ids of the documents that match a query, in the order of fields and then of the ids."""
        key = json.dumps([query, sort], sort_keys=True, default=str)
        with self._lock:
            if key in self._matches:
                self._matches.move_to_end(key)
                return self._matches[key]
        found = self.collection.find(self._within(query), {"_id": 1})
        if sort:
            found = found.sort([*sort, ("_id", 1)])
        ids = [document["_id"] for document in found]
        if not sort:
            ids.sort()
        with self._lock:
            self._matches[key] = ids
            while len(self._matches) > MAX_FILTERS or (
                len(self._matches) > 1 and sum(map(len, self._matches.values())) > MAX_IDS
            ):
                self._matches.popitem(last=False)
        return ids

    def forget(self) -> None:
        """After the documents have changed."""
        with self._lock:
            self._matches.clear()

    def handle_query_params(self, params: Any) -> dict[str, Any]:
        criteria: dict[str, Any] = super().handle_query_params(params)
        if "page_above" in criteria and "sort" in criteria:
            raise BadRequest(detail="page_above goes with the order of the ids: with sort, use page_offset")
        criteria["projection"]["_id"] = False
        return criteria

    def get_next_query_params(self, params: EntryListingQueryParams, results: Any) -> dict[str, list[str]]:
        if params.page_number is not None:
            return {"page_number": [str(max(params.page_number, 1) + 1)]}
        if params.sort or params.page_offset:
            return {"page_offset": [str((params.page_offset or 0) + len(results))]}
        return {"page_above": [results[-1]["id"]]}

    def _run_db_query(
        self, criteria: dict[str, Any], single_entry: bool = False
    ) -> tuple[list[dict[str, Any]], int | None, bool]:
        limit, projection = criteria["limit"], criteria["projection"]
        if single_entry:
            rows = list(self.collection.find(self._within(criteria["filter"]), projection).limit(2))
            return rows, len(rows), False
        ids = self.matches(criteria["filter"], criteria.get("sort", ()))
        above = criteria.get("page_above")
        start = criteria.get("skip", 0) if above is None else bisect_right(ids, above)
        page = ids[start : start + limit]
        found = {
            document["id"]: document
            for some in chunks(page)
            for document in self.collection.find({"_id": {"$in": some}}, projection)
        }
        return [found[key] for key in page if key in found], len(ids), start + limit < len(ids)

    def _within(self, query: Mapping[str, Any]) -> dict[str, Any]:
        if not self.scope or not query:
            return dict(self.scope or query)
        return {"$and": [self.scope, dict(query)]}
