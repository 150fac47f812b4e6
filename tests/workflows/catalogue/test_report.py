"""`gnome report`: the page of a real campaign, read as a file and looked at in a browser."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import run_all, small_campaign
from fireworks import Firework, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from reports import (
    THEORY,
    close,
    formation_energy,
    formulas,
    select,
    write_campaign,
    write_launches,
    write_networks,
    write_relaxed,
    write_searches,
)
from tasks import End

from gnome_torch.files import PARTIALS
from workflows.catalogue.hulls import renew
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.report import page, plots
from workflows.catalogue.report.data import Bin, HullEntry, Network, Point, Report, System, read_report
from workflows.catalogue.report.page import render, write_report
from workflows.store import Store

Gnome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gnome(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gnome:
    """The command against the test's own database."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}/")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.setenv("GNOME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    return gnome


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="wants Playwright: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("wants a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        some = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield some
        some.close()


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page in the browser, and what goes wrong on it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    return page, problems


def is_blank(png: bytes) -> bool:
    from PIL import Image

    colours = Image.open(io.BytesIO(png)).convert("RGB").getcolors(maxcolors=1 << 24)
    return colours is None or len(colours) < 20


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
    assert not re.search(r"https?://|src=\"(?!data:)|href=\"(?!data:)|@import|url\(", html)
    write_report(read_report(Store(launchpad.db), "emt", 0.1), tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_text() == html

    page, problems = opened(browser, out / "index.html")

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


def test_a_report_takes_the_place_of_the_one_before(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures go, a user's files stay, and one that is cut off leaves nothing behind for good."""
    store = Store(launchpad.db)
    store.campaigns.create("c", {"elements": ["Cu", "Au"]}, "emt", "none", str(tmp_path), "uid")
    report, folder = read_report(store, "c", 5e-5), tmp_path / "out" / "plots"

    def some(*names: str) -> None:
        figures = [page.Plot(name, "t", "c", b"<svg/>", b"png") for name in names]
        monkeypatch.setattr(page, "plots", lambda _: figures)

    def files() -> set[str]:
        return {path.name for path in folder.glob("[!.]*")}

    some("hull-a", "hull-b")
    write_report(report, tmp_path / "out")
    (folder / "mine.png").write_bytes(b"mine")
    some("hull-b", "hull-c")
    monkeypatch.setattr(page, "render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(report, tmp_path / "out")
    monkeypatch.undo()
    some("hull-d")
    write_report(report, tmp_path / "out")
    assert files() == {"hull-d.svg", "hull-d.png", "mine.png"}


def test_unknown_campaign(gnome: Gnome, tmp_path: Path) -> None:
    status, _, err = gnome("report", "nope", "--out", tmp_path / "out")
    assert status == 1
    assert err.startswith("gnome: no campaign 'nope'")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- campaigns at all stages, in the browser


@pytest.fixture
def store(launchpad: LaunchPad) -> Store:
    store = Store(launchpad.db)
    store.prepare()
    return store


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
    assert "rounds of search, one not closed" in texts
    assert "No new stable compound yet." in texts
    assert "second opinion" not in texts.lower()
    costs = view.locator("#costs tbody tr").all_inner_texts()
    assert [row.split("\t") for row in costs] == [
        ["relax", "–", "12.0 s", "1", "0", "0"],
        ["screen", "–", "–", "1", "1", "0"],
    ]
    assert problems == []


def test_finds_in_both_pipelines_failures_and_second_opinions(store: Store, browser: Any, tmp_path: Path) -> None:
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
        f"second opinion of {report.finds[0].row.formula}: the second code gave up",
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
    assert min(shares) * plots.SMALLEST * 4 / 3 > 8
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


# ---- cost


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


# ---- figures


def system(*elements: str, largest: int = 3) -> System:
    """All compositions there are, from the same made-up energies."""
    compounds = [f for f in formulas(elements, largest) if set(re.findall("[A-Z][a-z]?", f)) <= set(elements)]
    entries = [HullEntry(formula, formation_energy(formula), formula not in elements) for formula in compounds]
    return System(elements, (*(HullEntry(element, 0.0, False) for element in elements), *entries))


def test_the_axis_of_a_binary_hull_names_the_element_that_grows_along_it() -> None:
    """pymatgen orders by electronegativity, systems are ordered by the alphabet."""
    for elements in (("F", "Li"), ("Li", "O")):
        (ax,) = plots._hull(system(*elements)).axes
        ends = {text.xy[0]: text.get_text() for text in ax.texts}
        right = re.match("[A-Z][a-z]?", ends[1.0])
        assert right is not None
        assert ends[0.0] == "Li"
        assert ax.get_xlabel() == f"fraction of {right[0]}"


@pytest.mark.parametrize("elements", [("Al", "F", "Mg"), ("Na", "Zr", "O")])
def test_labels_of_a_hull_cover_neither_each_other_nor_a_mark(elements: tuple[str, ...]) -> None:
    figure = plots._hull(system(*elements))
    (ax,) = figure.axes
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 20
    for number, box in enumerate(boxes):
        assert not [other for other in boxes[:number] if box.overlaps(other)]
        assert not [text for text in ax.texts if box.contains(*ax.transData.transform(text.xy))]


def drawn_legends() -> dict[str, Any]:
    """Figures with a legend, of few data and of more than the legend has lines."""
    bins = tuple(Bin(0.01 * k, 0.02 * k) for k in range(1, 5))
    networks = [Network(n, kind, 20 * n, 0.09 / n, bins) for kind in ("structure", "composition") for n in (1, 2, 3)]
    points = [Point("LiO", 1, kind, x, x + 0.1, 0.05) for kind in ("structure", "composition") for x in (-1.0, -0.9, 0)]
    return {"networks": tuple(networks), "points": tuple(points)}


def test_legends_stand_above_their_diagrams(store: Store, tmp_path: Path) -> None:
    """Nothing that is drawn can be under them; they are no wider than the figure either."""
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    for number in (1, 2):
        store.rounds.open("c", number)
        write_networks(store, "c", number, 40 * number, 0.1)
    everything = drawn_legends()
    for made in (everything, {name: some[:2] for name, some in everything.items()}):
        report: Report = replace(read_report(store, "c"), **made)
        for figure in (
            plots._learning(report.networks),
            plots._parity(report.points),
            plots._calibration(report),
            plots._errors(report),
        ):
            figure.draw_without_rendering()
            (ax,) = figure.axes
            legend = ax.get_legend().get_window_extent()
            assert legend.y0 >= ax.bbox.y1
            assert legend.width <= figure.bbox.width
            assert ax.bbox.width > figure.bbox.width / 2


def test_many_rounds_and_points_stay_small(store: Store, tmp_path: Path) -> None:
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    for number in range(1, 21):
        store.rounds.open("c", number)
        store.rounds.update("c", number, counts={"generated": 10 * number})
        store.rounds.close("c", number, {"stable": 1, "hit_rate": 0.5, "prediction_mae": 0.1})
    points = [Point("LiO", 1, "structure", -0.001 * n, -0.0011 * n, 0.05) for n in range(2000)]
    report = replace(read_report(store, "c"), points=tuple(points))
    found = {plot.name: plot for plot in plots.plots(report)}
    assert "the latest 6 of 20 funnels" in found["funnel"].description
    assert max(len(plot.svg) for plot in found.values()) < 150_000
