"""Sources of outside data: positions, errors in the middle, and the network ones against servers on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.gnome_release import GnomeRelease
from gnome_torch.data.json_stream import json_items
from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.materials_project import MaterialsProject
from gnome_torch.data.optimade import OptimadeSource
from gnome_torch.data.outside import OutsideRecord, Source, SourceError, in_batches
from gnome_torch.data.rejects import Reject


def parted(source: Source, position: Any = None) -> tuple[list[OutsideRecord], list[Reject]]:
    items = [item for batch in source.batches(position) for item in batch.items]
    return [i for i in items if isinstance(i, OutsideRecord)], [i for i in items if isinstance(i, Reject)]


def test_a_file_goes_on_behind_every_position(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    rows = [f"Mg{n}O,-{n}.0" if n % 3 else "oops,1" for n in range(1, 8)]
    path.write_text("formula,target\n" + "\n\n".join(rows) + "\n")
    source = EnergyFile(path)
    steps = list(source._steps(0))
    assert len(steps) == 7
    assert steps[-1].done == 1.0
    for number, step in enumerate(steps, start=1):
        assert [s.item for s in source._steps(step.position)] == [s.item for s in steps[number:]]
    batches = list(in_batches(steps, size=3))
    assert [len(batch.items) for batch in batches] == [3, 3, 1]
    assert [batch.position for batch in batches] == [steps[2].position, steps[5].position, steps[6].position]


def test_what_was_read_before_an_error_comes_first(tmp_path: Path) -> None:
    """A download that broke off."""
    path = tmp_path / "entries.json"
    path.write_text('{"entries": [{"a": NaN}, {"b": 2}, {"c":')
    batches = EnergyFile(path).batches()
    assert len(next(batches).items) == 2
    with pytest.raises(SourceError, match=r"entries.json: cannot be read"):
        next(batches)


@given(
    st.lists(st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), lambda x: st.lists(x), max_leaves=5)),
    st.integers(1, 40),
    st.booleans(),
)
def test_items_of_json_whatever_the_window(items: list[Any], window: int, wrapped: bool) -> None:
    import io

    from gnome_torch.data import json_stream

    text = json.dumps({"x": {"entries": 1}, "entries": items} if wrapped else items, indent=1)
    before, json_stream._WINDOW = json_stream._WINDOW, window
    try:
        assert list(json_items(io.StringIO(text), "entries")) == items
    finally:
        json_stream._WINDOW = before


def test_gnomes_release(tmp_path: Path, release: tuple[Path, Path]) -> None:
    summary, crystals = release
    records, rejects = parted(GnomeRelease(summary, crystals))
    assert [(r.key, r.formula, r.kind) for r in records] == [
        ("000aaa", "MgO", EnergyKind.TOTAL),
        ("000eee", "BeO", EnergyKind.TOTAL),
    ]
    assert records[0].energy_per_atom == pytest.approx(-53.5 / 8)
    assert records[0].structure is not None
    assert [(r.place, r.value) for r in rejects] == [("line 3", "000bbb"), ("line 4", "000ccc"), ("line 5", "000ddd")]
    assert "is MgO, the table says Sr4O4" in rejects[1].reason
    assert "no crystal of this name" in rejects[2].reason
    bare, broken = parted(GnomeRelease(summary))
    assert len(bare) == 4
    assert len(broken) == 1
    assert bare[0].structure is None
    with pytest.raises(SourceError, match="no zip file"):
        parted(GnomeRelease(summary, summary))
    lines = summary.read_text().splitlines()
    summary.write_text("\n".join([*lines, lines[1], lines[5].replace("000eee", "")]) + "\n")
    records, rejects = parted(GnomeRelease(summary, crystals))
    assert [r.key for r in records] == ["000aaa", "000eee"]
    assert [(r.place, r.value) for r in rejects[-2:]] == [("line 7", "000aaa"), ("line 8", "")]
    (tmp_path / "other.csv").write_text("formula,target\nMgO,1\n")
    with pytest.raises(SourceError, match="no column 'MaterialId'"):
        parted(GnomeRelease(tmp_path / "other.csv"))


def test_optimade(optimade_server: str) -> None:
    source = OptimadeSource(optimade_server, "_gt_energy", per_cell=True, page=3)
    records, rejects = parted(source)
    assert [r.formula for r in records] == ["BeO", "MgO", "CaO", "SrO", "BaO", "CdO"]
    assert records[2].key == "x-2"
    assert records[2].energy_per_atom == pytest.approx(-42.0 / 8)
    assert records[2].kind is EnergyKind.TOTAL
    assert [(r.place, r.reason) for r in rejects] == [
        ("x-6", "_gt_energy is None, no energy"),
        ("x-7", "it has site_attachments, so its sites are not those of one ordered crystal"),
    ]
    pages = list(source.batches())
    assert [len(page.items) for page in pages] == [3, 3, 2]
    assert pages[0].done == pytest.approx(3 / 8)
    again, _ = parted(source, pages[0].position)
    assert [r.formula for r in again] == ["SrO", "BaO", "CdO"]
    some, _ = parted(OptimadeSource(optimade_server, "_gt_energy", 'elements HAS "Ca"'))
    assert [(r.formula, r.energy_per_atom) for r in some] == [("CaO", -42.0)]


def test_optimade_errors(
    optimade_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gnome_torch.data.optimade.answers.WAIT", 0.01)
    with pytest.raises(SourceError, match=r"serves no property '_x_energy'; its own are _gt_energy"):
        parted(OptimadeSource(optimade_server, "_x_energy"))
    with pytest.raises(SourceError, match="elements HAS"):
        parted(OptimadeSource(optimade_server, "_gt_energy", "elements HAS"))
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9 does not answer"):
        parted(OptimadeSource("http://127.0.0.1:9", "_gt_energy"))
    assert capsys.readouterr() == ("", "")


def test_the_materials_project(thermo: Any) -> None:
    records, rejects = parted(MaterialsProject(("Mg", "Ca", "O")))
    assert [(r.key, r.formula) for r in records] == [("mp-1-GGA", "MgO"), ("mp-2-GGA", "CaO")]
    assert records[0].energy_per_atom == pytest.approx(-6.0)
    assert records[0].correction_per_atom == pytest.approx(-0.687 / 2)
    assert [(r.file, r.place) for r in rejects] == [("materials-project:GGA_GGA+U", "mp-3-GGA")]
    everything, _ = parted(MaterialsProject())
    assert [(r.key, r.licence) for r in everything] == [
        ("mp-1-GGA", ""),
        ("mp-2-GGA", ""),
        ("mp-5-GGA", "CC BY-NC 4.0"),
    ]
    assert MaterialsProject().origin.licence == "CC BY 4.0"
    after, _ = parted(MaterialsProject(), "mp-2")
    assert [r.key for r in after] == ["mp-5-GGA"]
    scan, _ = parted(MaterialsProject(thermo_type="R2SCAN"))
    assert [r.key for r in scan] == ["mp-4-GGA"]
    assert MaterialsProject().identity["version"] == "2026.11.1"


def test_the_materials_project_that_does_not_answer(thermo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    thermo.broken_after = 0
    with pytest.raises(SourceError, match=r"on fire.*run it again"):
        parted(MaterialsProject())
    monkeypatch.setenv("MP_API_KEY", "x" * 32)
    with pytest.raises(SourceError, match=r"no such key.*MP_API_KEY"):
        parted(MaterialsProject())
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(SourceError, match="wants a key: set MP_API_KEY"):
        parted(MaterialsProject())
