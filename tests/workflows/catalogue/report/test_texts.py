"""Numbers and words as the page has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from reports import THEORY, write_campaign

from workflows.catalogue.report.reading import read_report
from workflows.catalogue.report.texts import headlines, hours
from workflows.catalogue.words import plural
from workflows.store import Store


def test_one_is_not_many(store: Store, tmp_path: Path) -> None:
    assert (plural(1, "phase"), plural(0, "phase"), plural(2, "phase")) == ("phase", "phases", "phases")
    store.campaigns.create("none", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    labels = [label for _, label in headlines(read_report(store, "none"))]
    assert labels[:4] == ["new stable compounds", "rounds of search", "candidates generated", "crystals relaxed"]
    write_campaign(store, "one", ["Li", "O"], [2, 3])
    report = read_report(store, "one")
    assert report.finds
    first, second = headlines(replace(report, phases=report.finds[:1]))[:2]
    assert (first, second) == (("1", "new stable compound"), ("1", "round of search"))


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (61.0, "1 min 01 s"), (7260.0, "2 h 01 min")])
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert hours(seconds) == text
