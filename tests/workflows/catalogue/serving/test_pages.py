"""Page after page of what is served, also while it is written."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import requests
from fastapi.testclient import TestClient

from workflows.catalogue.serving.application import Server
from workflows.catalogue.serving.documents import refresh
from workflows.catalogue.serving.running import Follower, Pace
from workflows.store import Store


@pytest.mark.parametrize(
    "query", [{}, {"sort": "-_gnome_e_above_hull"}, {"page_number": 1}, {"page_offset": 1}, {"filter": "nelements=2"}]
)
def test_pages(address: str, query: dict[str, Any]) -> None:
    answer = requests.get(f"{address}/v1/structures", params=query, timeout=30).json()
    whole = [row["id"] for row in answer["data"]]
    assert answer["links"]["next"] is None
    paged = []
    following: str | None = f"{address}/v1/structures"
    parameters: dict[str, Any] | None = {**query, "page_limit": 2}
    while following:
        answer = requests.get(following, params=parameters, timeout=30).json()
        assert len(answer["data"]) in (1, 2)
        paged += [row["id"] for row in answer["data"]]
        following, parameters = answer["links"]["next"], None
    assert len(whole) > 2
    assert paged == whole


def test_while_documents_are_written(store: Store) -> None:
    """Every answer is whole and says that more is to come; who pages on sees each of those he began with once."""
    refresh(store)
    published = store.published.collection("structures")
    whole = {d["_id"]: d["_gnome_e_above_hull"] for d in published.find({})}
    withdrawn = {**published.find_one({}), "_id": "0", "id": "0", "digest": "of an entry that is gone"}
    published.delete_many({})
    published.insert_one(withdrawn)
    whole["0"] = withdrawn["_gnome_e_above_hull"]
    server = Server(store, None, None, None)
    browser = TestClient(server.application, base_url="http://127.0.0.1")
    began: dict[str, tuple[list[str], str | None]] = {}
    grew = []

    def ask(address: str) -> tuple[dict[str, Any], list[str]]:
        with warnings.catch_warnings():  # optimade's server puts a hook of its own there
            answer = browser.get(address).json()
        for row in answer["data"]:
            assert row["attributes"]["_gnome_e_above_hull"] == whole[row["id"]]
            assert row["attributes"]["species_at_sites"]
        return answer, [row["id"] for row in answer["data"]]

    def look(said: str) -> None:
        for name, (seen, following) in began.items():
            if following:
                answer, ids = ask(following)
                began[name] = ([*seen, *ids], answer["links"]["next"])
        answer, ids = ask("/v1/structures")
        written = len(ids)
        assert len(ids) == answer["meta"]["data_returned"] == answer["meta"]["data_available"]
        assert bool(answer["meta"].get("warnings")) == (" written" in said)
        if written == 4:
            for name, query in (("by id", ""), ("sorted", "&sort=-_gnome_e_above_hull")):
                answer, ids = ask(f"/v1/structures?page_limit=1{query}")
                began[name] = (ids, answer["links"]["next"])
        grew.append(written)

    Follower(store, server.structures, look, Pace(tell_s=0.0, tell_again=0, at_once=1)).begin()
    assert grew == [1, *range(len(whole))]  # what is gone goes first
    first = sorted(whole.keys() - {"0"})[:4]
    assert began["by id"][0][:4] == first
    assert began["sorted"] == (sorted(first, key=lambda key: (-whole[key], key)), None)
