"""Relaxations out of a table: the same interface as any theory, and no energy that is not the table's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import run_all, run_ready, small_campaign
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import structure_key
from workflows.campaign.plan import relaxation_workflow
from workflows.campaign.settings import SettingsError
from workflows.relax import theory
from workflows.relax.lookup import LookupTheory
from workflows.relax.potentials import EmtTheory
from workflows.store import Store

CUBE = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
COPPER = Structure(Lattice.cubic(3.6), ["Cu"] * 4, CUBE)
GOLD = Structure(Lattice.cubic(4.1), ["Au"] * 4, CUBE)
ALLOY = Structure(Lattice.cubic(3.8), ["Cu", "Cu", "Au", "Au"], CUBE)


def table(path: Path, **columns: list[Any]) -> LookupTheory:
    pq.write_table(pa.table(columns), path)
    return LookupTheory(table=str(path))


def test_by_structure_and_by_formula(launchpad: LaunchPad, tmp_path: Path) -> None:
    """At once and as Fireworks; a relaxed crystal of its own, a failure of its own, nothing for what is not in it."""
    relaxed = Structure(Lattice.cubic(3.58), ["Cu"] * 4, CUBE)
    settings = table(
        tmp_path / "world.parquet",
        key=[structure_key(COPPER), structure_key(GOLD)],
        energy=[-3.5, None],
        structure=[json.dumps(relaxed.as_dict()), None],
        failure=[None, "it blew apart"],
    )
    level = theory(settings)
    found = level.relax(COPPER)
    assert (found.energy, found.structure, found.converged) == (-14.0, relaxed, True)
    with pytest.raises(RuntimeError, match="it blew apart"):
        level.relax(GOLD)
    with pytest.raises(RuntimeError, match="CuAu: not in"):
        level.relax(ALLOY)
    workflow, uuid = relaxation_workflow(COPPER, level, "copper")
    launchpad.add_wf(workflow)
    run_ready(launchpad, tmp_path)
    output = Store(launchpad.db).jobs.output(uuid)
    assert output is not None
    again = level.read(output)
    assert (again.energy, again.structure, again.converged) == (-14.0, relaxed, True)
    assert found.initial_energy is None
    assert again.initial_energy is None
    by_formula = LookupTheory(
        table=table(tmp_path / "formulas.parquet", key=["Cu"], energy=[-3.0]).table, by="formula", cost_s=7.0
    )
    found = theory(by_formula).relax(COPPER)
    assert (found.energy, found.structure, found.details) == (-12.0, COPPER, {"cost_s": 7.0})


def test_the_energy_before_a_relaxation(tmp_path: Path) -> None:
    """The networks learn from the crystal that went in, too, where the table knows its energy."""
    settings = table(
        tmp_path / "world.parquet",
        key=[structure_key(COPPER), structure_key(GOLD)],
        energy=[-3.5, -3.0],
        initial_energy=[-3.25, None],
    )
    assert theory(settings).relax(COPPER).initial_energy == -13.0
    assert theory(settings).relax(GOLD).initial_energy is None


def test_another_table_is_another_theory(tmp_path: Path) -> None:
    settings = table(tmp_path / "world.parquet", key=["Cu"], energy=[-3.0]).model_copy(update={"by": "formula"})
    first = theory(settings)
    assert theory(settings).id == first.id
    assert first.relax(COPPER).energy == -12.0
    table(tmp_path / "world.parquet", key=["Cu"], energy=[-1.0])
    os.utime(tmp_path / "world.parquet", ns=(1, 1))
    second = theory(settings)
    assert second.id != first.id
    assert second.relax(COPPER).energy == -4.0
    with pytest.raises(SettingsError, match="has changed since"):
        first.relax(COPPER)
    # where it lies, and what it costs, changes nothing
    elsewhere = table(tmp_path / "elsewhere.parquet", key=["Cu"], energy=[-1.0])
    assert theory(elsewhere.model_copy(update={"by": "formula", "cost_s": 3.0})).id == second.id


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"key": ["Cu", "Cu"], "energy": [-1.0, -3.0]}, "key 'Cu' is in it twice"),
        ({"key": ["Cu"]}, "no column 'energy'"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        theory(table(tmp_path / "world.parquet", **columns))


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.parquet: cannot be read"):
        theory(LookupTheory(table=str(tmp_path / "none.parquet")))
    (tmp_path / "text.parquet").write_text("key,energy")
    with pytest.raises(SettingsError, match=r"text\.parquet: cannot be read"):
        theory(LookupTheory(table=str(tmp_path / "text.parquet")))
    with pytest.raises(ValueError, match="is a relative path"):
        LookupTheory(table="world.parquet")


def test_a_crystal_of_something_else_is_refused(tmp_path: Path) -> None:
    settings = table(
        tmp_path / "w.parquet", key=[structure_key(COPPER)], energy=[-1.0], structure=[json.dumps(GOLD.as_dict())]
    )
    with pytest.raises(SettingsError, match="is Cu, its crystal Au"):
        theory(settings).relax(COPPER)


def test_a_closed_world(launchpad: LaunchPad, tmp_path: Path) -> None:
    """A campaign on what another has computed comes to the same energies, without computing anything."""
    names = LaunchPad(host=launchpad.host, port=launchpad.port, name=f"{launchpad.name}_world", strm_lvl="WARNING")
    names.reset("", require_password=False)
    known = run_all(names, small_campaign(tmp_path / "computed"), tmp_path / "computed" / "launches")
    rows = [
        (structure_key(Structure.from_dict(c["structure"])), known.database["entries"].find_one({"_id": c["entry"]}))
        for c in known.database["candidates"].find({"state": "relaxed"})
    ]
    pq.write_table(
        pa.table(
            {
                "key": [key for key, _ in rows],
                "energy": [entry["energy"] / entry["nsites"] for _, entry in rows],
                "structure": [json.dumps(entry["structure"]) for _, entry in rows],
            }
        ),
        tmp_path / "world.parquet",
    )
    world = {"name": "lookup", "table": str(tmp_path / "world.parquet"), "elements": ["Cu", "Au"]}
    settings = small_campaign(tmp_path / "looked-up", theory=world, relaxations={"per_firework": 10})
    found = run_all(launchpad, settings, tmp_path / "launches")
    assert found.campaigns.get("emt")["state"] == "finished"
    first = {c["_id"]: c for c in known.database["candidates"].find({"round": 0})}
    again = {c["_id"]: c for c in found.database["candidates"].find({"round": 0})}
    assert first.keys() == again.keys()
    for key, candidate in again.items():
        assert candidate["state"] == "relaxed"
        one, two = (
            s.database["entries"].find_one({"_id": c["entry"]}) for s, c in ((known, first[key]), (found, candidate))
        )
        assert one is not None
        assert two is not None
        assert two["energy"] == pytest.approx(one["energy"], abs=1e-9)
        assert two["theory"] != one["theory"]
    assert theory(EmtTheory()).id != found.campaigns.get("emt")["theory"]
