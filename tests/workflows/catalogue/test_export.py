"""What a campaign found as files, and back."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from gnome_torch.models.ensemble import Ensemble
from workflows.campaign.begin import begin
from workflows.catalogue.sun import sun_of
from workflows.store import Store

Gnome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def connected(launchpad: LaunchPad, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    return Store(launchpad.db)


def sums(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_there_and_back(
    connected: Store, launchpad: LaunchPad, tmp_path: Path, gnome: Gnome, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_campaign(tmp_path, elements=["Al", "Cu", "Ni", "Pt"], seeds={"limit": 8, "max_sites": 4})
    store = run_all(launchpad, settings, tmp_path / "launches")
    out = tmp_path / "release"
    status, text, _ = gnome("export", "emt", "--out", out, "--distance", "0.1")
    assert status == 0
    theory = store.campaigns.get("emt")["theory"]
    near = {d["_id"]: d for d in store.database["entries"].find({"stability.e_above_hull": {"$lte": 0.1}})}
    assert f"{len(near)} entries" in text

    # every file of it is what the database holds, and its checksums are right
    rows = {row["id"]: row for row in csv.DictReader((out / "entries.csv").open())}
    assert rows.keys() == near.keys()
    for key, document in near.items():
        assert float(rows[key]["e_above_hull"]) == document["stability"]["e_above_hull"]
        assert rows[key]["parent"] == (document["lineage"]["parent_id"] or "")
    entries = {
        d["entry_id"]: ComputedStructureEntry.from_dict(d)
        for d in json.loads(gzip.decompress((out / "entries.json.gz").read_bytes()))
    }
    assert {key: entry.energy for key, entry in entries.items()} == {
        key: pytest.approx(d["energy"] + d["correction"]) for key, d in near.items()
    }
    with zipfile.ZipFile(out / "structures.zip") as archive:
        assert len(archive.namelist()) == len(near)
        name = archive.namelist()[0]
        text = archive.read(name).decode()
        crystal = Structure.from_str(text, fmt="cif")
        stored = near[name.removesuffix(".cif").rpartition("-")[2]]
        # the conventional cell, with its symmetry
        per_atom = stored["structure"]["lattice"]["volume"] / stored["nsites"]
        assert crystal.volume / len(crystal) == pytest.approx(per_atom, rel=1e-4)
        assert crystal.reduced_formula == stored["formula"]
        assert "_symmetry_Int_Tables_number   1\n" not in text
    table = pq.read_table(out / "structures.parquet").to_pydict()
    assert dict(zip(table["id"], map(json.loads, table["structure"]), strict=True)) == {
        key: json.loads(json.dumps(d["structure"])) for key, d in near.items()
    }
    ours = Ensemble.load(store.models.get("emt/1")["directories"])
    theirs = Ensemble.load([str(path) for path in sorted((out / "models" / "structure").iterdir())])
    assert theirs.fingerprint() == ours.fingerprint()
    listed = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert listed == {name: value for name, value in sums(out).items() if name != "SHA256SUMS"}
    assert theory in (out / "README.md").read_text()
    sun = sun_of(store, "emt")
    assert sun.tried > 0
    assert json.loads((out / "campaign.json").read_text())["sun"] == sun.as_dict()
    assert f"{sun.text}.\nHere {sun.meaning}." in (out / "README.md").read_text()

    # the same again changes no byte
    before = sums(out)
    assert gnome("export", "emt", "--out", out, "--distance", "0.1")[0] == 0
    assert sums(out) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    # read back into another database: the same hull
    monkeypatch.setenv("GNOME_MONGODB_NAME", f"{launchpad.name}_back")
    assert gnome("data", "import", "file", out / "entries.json.gz", "--theory", theory)[0] == 0
    back = Store(launchpad.connection[f"{launchpad.name}_back"])
    found = sorted((d["formula"], round(d["stability"]["e_above_hull"], 6)) for d in back.database["entries"].find({}))
    assert found == sorted((d["formula"], round(d["stability"]["e_above_hull"], 6)) for d in near.values())


def test_what_cannot_be_exported(connected: Store, launchpad: LaunchPad, tmp_path: Path, gnome: Gnome) -> None:
    assert gnome("export", "none", "--out", tmp_path / "x")[2].startswith("gnome: no campaign 'none'")
    begin(connected, launchpad, small_campaign(tmp_path))
    status, _, err = gnome("export", "emt", "--out", tmp_path / "x")
    assert status == 1
    assert err == "gnome: campaign 'emt' has no entry within 0.001 eV/atom of a hull yet: nothing to export\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    err = gnome("export", "emt", "--out", tmp_path / "mine")[2]
    assert "holds files that are not an export of ours" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_nothing_is_left_of_an_export_that_fails(
    connected: Store, launchpad: LaunchPad, tmp_path: Path, gnome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    assert gnome("export", "emt", "--out", tmp_path / "release")[0] == 0
    before = sums(tmp_path / "release")
    (tmp_path / "campaign" / "round-1" / "models" / "member-01").rename(tmp_path / "elsewhere")
    status, _, err = gnome("export", "emt", "--out", tmp_path / "release")
    assert status == 1
    assert "is not here: export where its directory is" in err
    assert sums(tmp_path / "release") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
