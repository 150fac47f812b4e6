"""`gnome report`: the page of a real campaign, read as a file and looked at in a browser."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad

from workflows.phases import phase_rows
from workflows.report import page
from workflows.report.data import read_report
from workflows.report.page import write_report
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
    assert not list(out.rglob("*.partial"))
    names = {path.stem for path in (out / "plots").glob("*.svg")}
    assert names == {path.stem for path in (out / "plots").glob("*.png")}
    assert {"funnel", "hit-rate", "predicted-relaxed", "calibration", "error-data"} <= names

    html = (out / "index.html").read_text()
    assert not re.search(r"https?://|src=\"(?!data:)|href=\"(?!data:)|@import|url\(", html)
    write_report(read_report(Store(launchpad.db), "emt", 0.1), tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_text() == html

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((out / "index.html").as_uri())

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
    store.create_campaign("none", {"elements": ["Cu", "Au"]}, "emt", "none", str(tmp_path), "uid")
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
    store.create_campaign("c", {"elements": ["Cu", "Au"]}, "emt", "none", str(tmp_path), "uid")
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
