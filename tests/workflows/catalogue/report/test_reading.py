"""What a report reads from the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks import Firework, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from reports import THEORY, write_launches
from tasks import End

from workflows.catalogue.report.page import render
from workflows.catalogue.report.reading import read_report
from workflows.store import Store


def test_core_hours(store: Store, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of launches whose workers have said their cores; FireWorks remembers the worker of each."""
    store.campaigns.create("c", {"elements": ["Li"]}, THEORY, "none", str(tmp_path), "uid")
    monkeypatch.chdir(tmp_path)
    work = Firework([End(well=True)], spec={"_category": "relax"})
    launchpad.add_wf(Workflow([work], metadata={"campaign": "c"}))
    launch_rocket(launchpad, FWorker(env={"cores": 2.5}), strm_lvl="ERROR")
    (launch,) = store.fireworks.launches("c")
    assert launch["cores"] == 2.5

    store.campaigns.create("d", {"elements": ["Li"]}, THEORY, "none", str(tmp_path), "uid")
    hour = 3600.0
    with_cores = [("relax", hour, {"cores": 16}), ("relax", None, {"cores": 16}), ("train", hour / 2, {"cores": 4})]
    write_launches(store, "d", [*with_cores, ("relax", hour, {"cores": "four"})])  # in a worker's file of a user
    report = read_report(store, "d")
    relax, train = report.costs
    assert (relax.category, relax.seconds, relax.core_seconds, relax.without_cores) == ("relax", 2 * hour, 16 * hour, 1)
    assert (train.core_seconds, train.without_cores) == (2 * hour, 0)
    assert (report.cost.launches, report.cost.core_seconds) == (4, 18 * hour)
    html = render(report, [])
    # beside numbers that hold for some of the launches alone
    for cell in ("<td>≥ 16</td>", "<td>2</td>", "<td>≥ 18</td>", "<dd>≥ 18</dd>", "1 of these launches"):
        assert cell in html
