"""Documents as optimade's server asks for them.

Its own collection skips to a page and counts all matches for each: here a page begins after an id, in the order of an
index, and matches of a filter are counted once, so that the last page costs what the first one does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimade.exceptions import BadRequest
from optimade.filtertransformers.mongo import MongoTransformer
from optimade.server.entry_collections import EntryCollection

if TYPE_CHECKING:
    from optimade.models import EntryResource
    from optimade.server.config import ServerConfig
    from optimade.server.mappers import BaseResourceMapper
    from optimade.server.query_params import EntryListingQueryParams

MAX_COUNTS = 1000  # filters whose matches are remembered


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
        self._counts: dict[str, int] = {}

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
        query = self._within(criteria["filter"])
        key = json.dumps(query, sort_keys=True, default=str)
        if key not in self._counts:
            if len(self._counts) >= MAX_COUNTS:
                self._counts.clear()
            self._counts[key] = int(self.collection.count_documents(query))
        return self._counts[key]

    def forget_counts(self) -> None:
        """After the documents have changed."""
        self._counts.clear()

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
        query = self._within(criteria["filter"])
        if above := criteria.get("page_above"):
            query = _both(query, {"_id": {"$gt": above}})
        limit = criteria["limit"]
        found = self.collection.find(query, criteria["projection"]).sort([*criteria.get("sort", ()), ("_id", 1)])
        rows = list(found.skip(criteria.get("skip", 0)).limit(limit + 1))
        total = len(rows) if single_entry else self.count(filter=criteria["filter"])
        return rows[:limit], total, len(rows) > limit

    def _within(self, query: Mapping[str, Any]) -> dict[str, Any]:
        return _both(self.scope, query)


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    if not first or not second:
        return dict(first or second)
    return {"$and": [dict(first), dict(second)]}
