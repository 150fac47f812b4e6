"""`gnome report`: the page of a campaign at whatever stage, read as a file and looked at in a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsers import is_blank, opened
from campaigns import run_all, small_campaign
from commands import Gnome
from fireworks import LaunchPad
from reports import (
    THEORY,
    close,
    formulas,
    select,
    write_campaign,
    write_launches,
    write_relaxed,
    write_searches,
)

from gnome_torch.files import PARTIALS
from workflows.catalogue.hits import Hits
from workflows.catalogue.hulls import renew
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.report.page import render, write_page, write_report
from workflows.catalogue.report.plots.style import SMALLEST, Plot
from workflows.catalogue.report.reading import read_report
from workflows.catalogue.sun import sun_of
from workflows.store import Store


def test_a_campaign_with_finds(gnome: Gnome, launchpad: LaunchPad, browser: Any, tmp_path: Path) -> None:
    store = run_all(launchpad, small_campaign(tmp_path, elements=["Al", "Cu", "Ni", "Pt"]), tmp_path / "launches")
    out = tmp_path / "report"
    status, text, err = gnome("report", "emt", "--out", out, "--max-ehull", 0.1)
    assert (status, err) == (0, "")
    rows = phase_rows(store, "emt", 0.1)
    assert len(rows) > 1
    assert f"{len(rows)} phases" in text
    assert not list(out.rglob(PARTIALS))
    names = {path.stem for path in (out / "plots").glob("*.svg")}
    assert names == {path.stem for path in (out / "plots").glob("*.png")}
    assert {"funnel", "hit-rate", "error-round", "predicted-relaxed", "calibration", "error-data"} <= names

    html = (out / "index.html").read_text()
    sun = sun_of(store, "emt")
    assert sun.tried > 0
    assert f"Stable, unique and novel crystals (S.U.N.): {sun.text}. Here theory emt" in html
    assert not re.search(r"https?://|src=\"(?!data:)|href=\"(?!data:)|@import|url\(", html)
    write_report(read_report(Store(launchpad.db), "emt", 0.1), tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_text() == html

    page, problems = opened(browser, out / "index.html")
    hits = Hits.read(store.rounds.get("emt", 1)["result"])
    heads = page.locator("#rounds thead th").all_inner_texts()
    cells = dict(zip(heads, page.locator("#rounds tbody tr").last.inner_text().split("\t"), strict=True))
    assert [cells[name] for name in ("on the hull", "new", "known", "hit rate")] == [
        str(hits.on_hull), str(hits.stable), str(hits.rediscovered), f"{hits.hit_rate:.0%}"
    ]  # fmt: skip

    def shown(attribute: str = "entry") -> list[str]:
        script = "rows => rows.filter(r => r.offsetParent !== null).map(r => r.dataset[arguments_])"
        return list(page.eval_on_selector_all("#phases tbody tr", script.replace("arguments_", json.dumps(attribute))))

    assert shown() == [row.entry for row in rows]
    page.click("#phases thead button >> text=formula")
    formulas = page.locator("#phases tbody tr th").all_inner_texts()
    assert formulas == sorted((row.formula for row in rows), key=str.lower)
    page.click("#phases thead button >> text=formula")
    assert page.locator("#phases tbody tr th").all_inner_texts() == formulas[::-1]
    page.click("#phases thead button >> text=separation")
    by_energy = [row.entry for row in sorted(rows, key=lambda row: row.phase_separation_energy)]
    assert shown() == by_energy
    page.fill("#filter", rows[0].formula)
    assert rows[0].entry in shown()
    assert set(shown()) < {row.entry for row in rows}
    page.fill("#filter", "")
    page.check("#only-new")
    assert set(shown()) == {row.entry for row in rows if row.new}
    page.uncheck("#only-new")

    page.locator("#phases button.show").last.click()
    before = page.locator("#canvas").screenshot()
    page.locator("#canvas").press("ArrowLeft")
    assert page.locator("#canvas").screenshot() != before
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        picture = page.screenshot(path=str(tmp_path / f"report-{width}.png"), full_page=True)
        assert not is_blank(picture)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []


def test_an_empty_campaign_says_so(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    """The command has nothing to show; the page, which a campaign that goes on may have, says that too."""
    store = Store(launchpad.db)
    store.campaigns.create("none", {"elements": ["Cu", "Au"]}, "emt", "none", str(tmp_path), "uid")
    status, _, err = gnome("report", "none", "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("gnome: campaign 'none' has nothing to show yet")
    assert not (tmp_path / "out").exists()
    html = write_report(read_report(store, "none", 5e-5), tmp_path / "out").read_text()
    assert "No round has begun" in html
    assert "No stable compound yet" in html
    assert not list((tmp_path / "out" / "plots").glob("[!.]*"))


def test_a_report_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Its figures go, a user's files stay, and one that is cut off leaves nothing behind for good."""
    folder = tmp_path / "plots"

    def write(*names: str, png: Any = b"png") -> None:
        write_page("<html>", [Plot(name, "t", "c", b"<svg/>", png) for name in names], tmp_path)

    write("hull-a", "hull-b")
    (folder / "mine.png").write_bytes(b"mine")
    with pytest.raises(TypeError):
        write("hull-b", "hull-c", png=None)
    write("hull-d")
    assert {path.name for path in folder.glob("[!.]*")} == {"hull-d.svg", "hull-d.png", "mine.png"}


def test_unknown_campaign(gnome: Gnome, tmp_path: Path) -> None:
    status, _, err = gnome("report", "nope", "--out", tmp_path / "out")
    assert status == 1
    assert err.startswith("gnome: no campaign 'nope'")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_campaign_in_its_first_round(store: Store, browser: Any, tmp_path: Path) -> None:
    """First data alone: no share of hits, no networks, no find; it says so, and draws nothing of it."""
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    store.rounds.open("c", 0)
    for formula in ("Li", "O", "Li2O"):
        write_relaxed(store, "c", 0, formula)
    renew(store, THEORY)
    close(store, "c", 0)
    store.rounds.open("c", 1)
    store.rounds.update("c", 1, counts={"generated": 1234})
    select(store, "c", 1, "LiO2", None)
    write_launches(store, "c", [("relax", 12.0, {}), ("screen", None, {})])
    view, problems = opened(browser, write_report(read_report(store, "c"), tmp_path / "out"))
    assert {path.stem for path in (tmp_path / "out" / "plots").glob("*.svg")} == {"funnel"}
    assert view.locator("#rounds tbody th").all_inner_texts() == ["0 first data", "1 not closed"]
    texts = view.inner_text("main")
    assert "round of search, one not closed" in texts
    assert "No new stable compound yet." in texts
    assert "recheck" not in texts.lower()
    costs = view.locator("#costs tbody tr").all_inner_texts()
    assert [row.split("\t") for row in costs] == [
        ["relax", "–", "12.0 s", "1", "0", "0"],
        ["screen", "–", "–", "1", "1", "0"],
    ]
    assert problems == []


def test_finds_in_both_pipelines_failures_and_rechecks(store: Store, browser: Any, tmp_path: Path) -> None:
    """Every section of the page, by day and by night, and on a phone."""
    write_campaign(store, "c", ["Li", "Mg", "O"], [6, 3, 3], state="running")
    write_searches(store, "c", 2, [f for f in formulas(["Li", "Mg", "O"], 4) if "4" in f][:2])
    store.campaigns.end("c", "finished", "all 2 rounds done")
    select(store, "c", 2, "Li4O3", None)
    store.candidates.end("c/Li4O3", "failed", reason="forces of 9 eV/angstrom")
    report = read_report(store, "c")
    finds = [phase.row.entry for phase in report.finds]
    asked = [{**document, "_id": key} for key, document in store.entries.documents_of(finds[:2], ()).items()]
    store.rechecks.select("c", 2, "second", [{**a, "structure": {}, "lineage": a["lineage"]} for a in asked])
    store.candidates.end(f"c/recheck/{finds[0]}", "failed", reason="the second code gave up")
    report = read_report(store, "c")
    path = write_report(report, tmp_path / "out")
    names = [path.stem for path in (tmp_path / "out" / "plots").glob("*.png")]
    assert {"error-round", "elements", "hull-Li-Mg-O"} <= set(names)

    view, problems = opened(browser, path, color_scheme="dark")
    assert "1 not ended, 1 failed" in view.inner_text("main")
    view.click("summary")
    assert view.locator(".failures li").all_inner_texts() == [
        "round 2, relaxation of Li4O3: forces of 9 eV/angstrom",
        f"recheck of {report.finds[0].row.formula}: the second code gave up",
    ]
    ground, ink = (view.evaluate(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color"))
    view.emulate_media(color_scheme="light")
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    dark, light = (sum(int(part) for part in re.findall(r"\d+", colour)) for colour in (ground, ink))
    assert dark < 100 < 600 < light

    view.set_viewport_size({"width": 390, "height": 844})
    assert not is_blank(view.screenshot(path=str(tmp_path / "phone.png"), full_page=True))
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    # the smallest text of any figure, at the size that the phone shows it in
    shares = view.eval_on_selector_all("figure img", "all => all.map(some => some.clientWidth / some.naturalWidth)")
    assert len(shares) == len(names)
    assert min(shares) * SMALLEST * 4 / 3 > 8
    assert problems == []


def test_a_thousand_phases(store: Store, browser: Any, tmp_path: Path) -> None:
    """They are sorted and filtered at once, and each crystal appears beside its row."""
    write_campaign(store, "c", ["Li", "O"], [2, 3])
    report = read_report(store, "c", 1.0)
    some = report.phases
    many = [some[number % len(some)] for number in range(1000)]
    numbered = tuple(
        replace(phase, row=replace(phase.row, entry=f"e{n}", formula=f"Li{n}O")) for n, phase in enumerate(many)
    )
    path = tmp_path / "index.html"
    path.write_text(render(replace(report, phases=numbered), []))
    assert path.stat().st_size < 5e6
    view, problems = opened(browser, path)
    took = view.evaluate(
        """() => {
          const begun = performance.now();
          document.querySelector("#phases thead button").click();
          const filter = document.getElementById("filter");
          filter.value = "Li99";
          filter.dispatchEvent(new Event("input"));
          document.body.offsetHeight;
          return performance.now() - begun;
        }"""
    )
    assert took < 1500
    assert view.inner_text("#shown") == "11 of 1000"
    view.fill("#filter", "")
    view.locator("#phases button.show").nth(500).click()
    canvas, row = view.locator("#canvas").bounding_box(), view.locator("tr.chosen").bounding_box()
    assert 0 <= canvas["y"] <= 900 - canvas["height"]
    assert canvas["y"] - row["y"] < 700
    assert view.locator("#facts article:visible h3").inner_text().split()[0] == view.inner_text("tr.chosen th")
    assert problems == []
