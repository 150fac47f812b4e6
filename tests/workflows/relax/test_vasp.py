"""VASP's whole chain on the stand-in: atomate2 -> custodian -> emmet -> entry, under FireWorks, with its failures."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import re
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import rapidfire
from potcars import write_placeholders
from pymatgen.core import SETTINGS, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Kpoints
from pymatgen.io.vasp.sets import MPRelaxSet

from gnome_torch.records import Relaxation
from gnome_torch.stability.corrections import CorrectionScheme, correction
from workflows.campaign.plan import relaxation_workflow, start_workflow
from workflows.campaign.settings import CampaignSettings, parse_settings
from workflows.relax import Theory, theory
from workflows.relax.potentials import EmtTheory
from workflows.relax.vasp import VaspPbeTheory, VaspR2scanTheory, VaspRelaxation, published_valences, stop_in_time
from workflows.store import Store

STAND_IN = Path(__file__).parents[2] / "support" / "vasp_stand_in.py"
FAST = {"poll_s": 0.2, "max_restarts": 0}
COPPER = Structure(Lattice.cubic(3.75), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
WUESTITE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.5), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def vasp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A site whose VASP is the stand-in, in one of its moods."""
    write_placeholders(tmp_path / "potcars", ["Cu_pv", "Au", "Fe_pv", "O", "Yb_3", "W_sv"])
    site = tmp_path / "site.yaml"
    site.write_text(f'vasp:\n  command: "{sys.executable} {STAND_IN}"\n  potcars: {tmp_path / "potcars"}\n')
    monkeypatch.setenv("GNOME_SITE", str(site))
    monkeypatch.setenv("VASP_STAND_IN_STATE", str(tmp_path / "runs"))
    for name in ("GNOME_VASP_COMMAND", "GNOME_VASP_GAMMA_COMMAND", "PMG_VASP_PSP_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)

    def behave(how: str = "") -> None:
        monkeypatch.setenv("VASP_STAND_IN", how)

    behave()
    return behave


def launch_all(launchpad: LaunchPad, directory: Path, query: dict[str, Any] | None = None) -> None:
    """Run everything that is ready, of some Fireworks or all."""
    here = os.getcwd()
    directory.mkdir(parents=True, exist_ok=True)
    worker = FWorker(query=query) if query else FWorker()
    try:
        rapidfire(launchpad, worker, m_dir=str(directory), strm_lvl="WARNING")
    finally:
        os.chdir(here)


def corrections_in(directory: Path) -> list[str]:
    """Handlers of custodian that have mended something in a launch."""
    found = []
    for path in directory.glob("custodian.json*"):
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        for run in json.loads(text):
            found += [some["handler"]["@class"].rpartition(".")[2] for some in run["corrections"]]
    return found


def relaxed(launchpad: LaunchPad, level: Theory, structure: Structure, directory: Path) -> Relaxation:
    """Relax as a campaign does."""
    workflow, uuid = relaxation_workflow(structure, level, "test")
    launchpad.add_wf(workflow)
    launch_all(launchpad, directory)
    output = Store(launchpad.db).jobs.output(uuid)
    assert output is not None
    return level.read(output)


# ---- the chain


def test_pbe(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Copper: two relaxations and a static run, to the lattice constant and the energy of ASE's EMT itself."""
    level = theory(VaspPbeTheory(**FAST))
    found = relaxed(launchpad, level, COPPER, tmp_path / "launches")
    names = [d["name"] for d in launchpad.fireworks.find({}, {"name": 1}).sort("fw_id", 1)]
    assert sorted(names) == ["test: 1/3 MP GGA relax 1", "test: 2/3 MP GGA relax 2", "test: 3/3 MP GGA static"]
    assert found.converged
    assert found.structure.volume ** (1 / 3) == pytest.approx(3.588, abs=0.01)
    atoms = AseAtomsAdaptor.get_atoms(found.structure, msonable=False)
    atoms.calc = EMT()
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert found.parameters == {"run_type": "GGA", "hubbards": {}}
    assert found.details["potcars"] == ["PAW_PBE Cu_pv 06Sep2000"]
    assert found.details["potcar_functional"] == "PBE_54"
    assert found.details["max_force"] < 0.03
    assert found.details["shifted"] == []


def test_pbe_u(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Iron oxide gets U, and then the corrections of oxides with U; without U pymatgen would refuse it."""
    level = theory(VaspPbeTheory(**FAST))
    found = relaxed(launchpad, level, WUESTITE, tmp_path / "launches")
    assert found.parameters == {"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0.0}}
    assert found.details["magnetization"] == pytest.approx(len(found.structure))
    shift = correction(found.structure, found.energy, level.scheme, found.parameters)
    assert shift == pytest.approx(len(found.structure) / 2 * (-0.687 - 2.256), abs=0.01)


def test_r2scan(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    level = theory(VaspR2scanTheory(**FAST))
    found = relaxed(launchpad, level, COPPER, tmp_path / "launches")
    assert found.converged
    assert found.parameters is not None
    assert found.parameters["run_type"].upper() == "R2SCAN"
    assert level.scheme is CorrectionScheme.NONE
    assert level.id != theory(VaspPbeTheory(**FAST)).id


# ---- a campaign, and what goes wrong in it


def campaign(directory: Path, **theory_changes: Any) -> CampaignSettings:
    """Copper and gold, elements alone: two relaxations."""
    settings = {
        "name": "dft",
        "elements": ["Cu", "Au"],
        "theory": {"name": "vasp-pbe-mp", **FAST, **theory_changes},
        "seeds": {"limit": 0, "max_sites": 4, "references": 1},
        "network": {"members": 1, "hidden": [8, 8], "epochs": 1},
        "structural": {"limit": 1},
        "screening": {"threshold": -50.0, "volumes": 1},
        "rounds": 1,
        "directory": str(directory / "campaign"),
    }
    return parse_settings(settings, "test")


def first_round(launchpad: LaunchPad, settings: CampaignSettings, directory: Path) -> Store:
    """The first crystals of a campaign, relaxed and recorded; nothing of what follows."""
    launchpad.add_wf(start_workflow(settings))
    launch_all(launchpad, directory, {"spec._category": {"$in": ["control", "relax"]}})
    return Store(launchpad.db)


@pytest.mark.parametrize(
    ("fault", "changes", "restarts", "handled"),
    [
        ("", {}, 0, ""),
        ("unconverged:1", {}, 0, "UnconvergedErrorHandler"),
        ("zbrent:1", {}, 0, "VaspErrorHandler"),
        ("killed:1", {"max_restarts": 1}, 1, ""),
        ("corrupt:1", {"max_restarts": 1}, 1, ""),
    ],
)
def test_faults_that_are_mended(
    vasp: Any, launchpad: LaunchPad, tmp_path: Path, fault: str, changes: Any, restarts: int, handled: str
) -> None:
    """By custodian in the same calculation, or by a restart from the last crystal."""
    vasp(fault)
    settings = campaign(tmp_path, **changes)
    store = first_round(launchpad, settings, tmp_path / "launches")
    candidates = list(store.database["candidates"].find({}))
    assert [c["state"] for c in candidates] == ["relaxed", "relaxed"]
    assert sum(c.get("restarts", 0) for c in candidates) == restarts
    entries = {d["formula"]: d for d in store.database["entries"].find({})}
    assert entries.keys() == {"Cu", "Au"}
    assert entries["Cu"]["energy_per_atom"] == pytest.approx(-0.007, abs=0.002)
    assert entries["Cu"]["calculation"]["potcars"] == ["PAW_PBE Cu_pv 06Sep2000"]
    assert all(not d["change"]["transformed"] and not d["change"]["fell_apart"] for d in entries.values())
    seen = [some for d in launchpad.launches.find({}) for some in corrections_in(Path(d["launch_dir"]))]
    assert handled in {"", *seen}
    assert bool(seen) == bool(handled)
    (attempt,) = [a for c in candidates for a in c.get("attempts", [])] or [None]
    assert (attempt is not None) == (restarts > 0)
    if attempt:
        assert Path(attempt["directory"]).is_dir()


@pytest.mark.parametrize(
    ("fault", "reason", "last"),
    [
        ("unconverged:99", "UnconvergedErrorHandler: Unconverged", True),
        ("zbrent:99", "VaspErrorHandler: zbrent", True),
        ("killed:99", "Job return code is -9", True),
        ("slow:99", "WalltimeHandler: Walltime reached", True),
    ],
)
def test_faults_that_stay(vasp: Any, launchpad: LaunchPad, tmp_path: Path, fault: str, reason: str, last: bool) -> None:
    """The candidate fails with the reason, the directory and the last crystal, after its restarts."""
    vasp(fault)
    changes = {"max_restarts": 1, "max_errors": 1}
    if fault.startswith("slow"):
        changes |= {"wall_time_h": 0.001, "max_restarts": 0}
    settings = campaign(tmp_path, **changes)
    store = first_round(launchpad, settings, tmp_path / "launches")
    candidates = list(store.database["candidates"].find({}))
    assert [c["state"] for c in candidates] == ["failed", "failed"]
    for candidate in candidates:
        print(fault, candidate["reason"])
        assert reason in candidate["reason"]
        assert Path(candidate["directory"]).is_dir()
        assert candidate.get("restarts", 0) == settings.theory.max_restarts
        if last:
            kept = Structure.from_dict(candidate["last_structure"])
            assert kept.composition.reduced_formula == candidate["formula"]
    assert store.database["entries"].count_documents({}) == 0
    assert store.campaigns.get("dft")["state"] == "failed"
    assert "no entry of the pure element Au, Cu" in store.campaigns.get("dft")["reason"]


def test_the_end_of_the_job_is_the_end_of_vasp(
    vasp: Any, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of the queue that is about to end: custodian stops VASP in time, whatever else the settings allow."""
    vasp("slow:99")
    monkeypatch.setenv("GNOME_JOB_END", str(time.time() + 4.0))
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", "Mon Jan 01 00:00:00 UTC 2001")  # of an earlier calculation
    store = first_round(launchpad, campaign(tmp_path, wall_time_h=24.0), tmp_path / "launches")
    for candidate in store.database["candidates"].find({}):
        assert candidate["state"] == "failed"
        assert "WalltimeHandler: Walltime reached" in candidate["reason"]
        assert candidate["last_structure"] is not None


def test_time_is_left_to_other_jobs_alone() -> None:
    job = next(iter(theory(VaspPbeTheory(wall_time_h=1.0)).flow(COPPER).iterflow()))[0]
    stop_in_time(job, 7200)
    assert job.maker.run_vasp_kwargs["wall_time"] == 3600
    stop_in_time(job, 100)
    assert job.maker.run_vasp_kwargs["wall_time"] == 100
    stop_in_time(theory(EmtTheory()).flow(COPPER), 100)  # has no such thing


def test_what_a_site_lacks_is_said_on_the_candidate(
    vasp: Any, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No potential for gold, no command: recorded with the remedy."""
    (tmp_path / "potcars" / "POT_GGA_PAW_PBE_54" / "POTCAR.Au.gz").unlink()
    store = first_round(launchpad, campaign(tmp_path), tmp_path / "launches")
    states = {c["formula"]: c for c in store.database["candidates"].find({})}
    assert states["Cu"]["state"] == "relaxed"
    assert states["Au"]["state"] == "failed"
    print(states["Au"]["reason"])
    assert "POTCAR" in states["Au"]["reason"]
    assert "unpack PBE_54 under vasp.potcars of" in states["Au"]["reason"]


def test_an_unset_command_is_said_on_the_candidate(
    vasp: Any, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text("")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    monkeypatch.delenv("GNOME_VASP_COMMAND")
    monkeypatch.delenv("GNOME_VASP_GAMMA_COMMAND")
    store = first_round(launchpad, campaign(tmp_path), tmp_path / "launches")
    for candidate in store.database["candidates"].find({}):
        assert candidate["state"] == "failed"
        assert "write vasp.command into" in candidate["reason"]
        assert "'gnome doctor dft'" in candidate["reason"]


def test_steps_are_kept_and_files_are_not(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """All ionic steps of both relaxations and the static run; the large files of what has succeeded are gone."""
    settings = campaign(tmp_path, keep_steps=True, keep_files=False)
    store = first_round(launchpad, settings, tmp_path / "launches")
    for candidate in store.database["candidates"].find({}):
        entry = store.database["entries"].find_one({"_id": candidate["entry"]})
        assert entry is not None
        frames = ase.io.read(settings.root / "steps" / f"{candidate['_id'].rpartition('/')[2]}.extxyz", index=":")
        assert len(frames) > 3
        assert frames[-1].get_potential_energy() == pytest.approx(entry["energy"], abs=1e-4)
        assert frames[-1].get_forces().shape == (len(frames[-1]), 3)
        left = {path.name.split(".")[0] for path in Path(candidate["directory"]).iterdir()}
        assert {"INCAR", "KPOINTS", "CONTCAR"} <= left
        assert left.isdisjoint({"vasprun", "OUTCAR"})


def test_the_chain_without_potentials(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """potcar_spec: names in the place of potentials, for inputs that are looked at, and for tests."""
    shutil.rmtree(tmp_path / "potcars")
    store = first_round(launchpad, campaign(tmp_path, potcar_spec=True), tmp_path / "launches")
    assert [c["state"] for c in store.database["candidates"].find({})] == ["relaxed", "relaxed"]


def test_a_rough_relaxation_comes_first(vasp: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """A campaign's `prerelax`: VASP begins from what the cheap theory made, and no energy is given to a wrong start."""
    data = campaign(tmp_path).model_dump(mode="json")
    settings = parse_settings({**data, "prerelax": {"name": "emt", "fmax": 0.01}}, "test")
    store = first_round(launchpad, settings, tmp_path / "launches")
    for candidate in store.database["candidates"].find({}):
        assert candidate["state"] == "relaxed"
        workflow = launchpad.workflows.find_one({"metadata.gnome_key": f"relax/{candidate['_id']}"})
        assert workflow is not None
        names = [launchpad.get_fw_by_id(fw_id).name for fw_id in sorted(workflow["nodes"])]
        assert len(names) == 5
        start = Structure.from_file(next(iter(_first_inputs(launchpad, workflow))))
        given = Structure.from_dict(candidate["structure"])
        entry = store.database["entries"].find_one({"_id": candidate["entry"]})
        assert entry is not None
        # nearer to the end than to the beginning
        end = entry["structure"]["lattice"]["volume"] / entry["nsites"]
        volumes = [some.volume / len(some) for some in (given, start)]
        assert abs(volumes[1] - end) < 0.1 * abs(volumes[0] - end)
        # the first energy of VASP is not that of the crystal as it was proposed
        assert entry["initial"] == {"structure": candidate["structure"], "energy": None}


def _first_inputs(launchpad: LaunchPad, workflow: dict[str, Any]) -> list[Path]:
    """POSCARs of the first calculations of VASP in a workflow."""
    found = []
    for fw_id in sorted(workflow["nodes"]):
        firework = launchpad.get_fw_by_id(fw_id)
        if "MP GGA relax 1" in firework.name:
            found += sorted(Path(firework.launches[-1].launch_dir).glob("POSCAR.orig*"))
    return found


def test_crystals_that_are_not_computed(vasp: Any) -> None:
    level = theory(VaspPbeTheory(max_atoms=4, max_electrons=40))
    assert level.refusal(COPPER) == "68 electrons, max_electrons is 40: allow more, or leave it out"
    assert "8 atoms, max_atoms is 4" in str(level.refusal(WUESTITE))
    near = Structure(Lattice.cubic(4.0), ["Cu", "Cu"], [[0, 0, 0], [0.1, 0, 0]])
    assert level.refusal(near) == "two atoms 0.40 angstrom apart"
    wide = Structure(Lattice.cubic(9.0), ["Cu"], [[0, 0, 0]])
    assert "729.0 cubic angstrom per atom" in str(level.refusal(wide))
    assert "has no Po" in str(level.refusal(Structure(Lattice.cubic(3.4), ["Po"], [[0, 0, 0]])))


# ---- inputs


def crystals() -> dict[str, Structure]:
    """A hexagonal one, a magnetic oxide with U, a metal, Yb, W."""
    hexagonal = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.25, 5.21), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
    )
    salt = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return {
        "ZnO": hexagonal,
        "FeO": WUESTITE,
        "Cu": COPPER,
        "YbN": Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.78), ["Yb", "N"], salt),
        "W": Structure.from_spacegroup("Im-3m", Lattice.cubic(3.17), ["W"], [[0, 0, 0]]),
    }


@pytest.mark.parametrize("name", ["ZnO", "FeO", "Cu", "YbN", "W"])
def test_inputs_are_the_materials_projects_but_for_what_is_said(name: str) -> None:
    """Key by key; what differs is in docs/relaxation.md, with the reason."""
    structure, level = crystals()[name], theory(VaspPbeTheory())
    assert isinstance(level, VaspRelaxation)
    ours = level.inputs(structure)
    theirs = MPRelaxSet(structure).get_input_set(potcar_spec=True)
    assert dict(ours["INCAR"]) == dict(theirs["INCAR"])
    assert ours["INCAR"]["ENCUT"] == 520
    assert ours["KPOINTS"].style == Kpoints.supported_modes.Gamma
    if name == "ZnO":
        assert theirs["KPOINTS"].style == Kpoints.supported_modes.Gamma
        assert ours["KPOINTS"].kpts == theirs["KPOINTS"].kpts
    assert np.prod(ours["KPOINTS"].kpts[0]) >= 0.9 * np.prod(theirs["KPOINTS"].kpts[0])
    potentials = {"YbN": "Yb_3\nN", "W": "W_sv"}
    assert str(ours["POTCAR.spec"]) == potentials.get(name, str(theirs["POTCAR.spec"]))
    assert level.symbols(structure) == dict(
        zip((e.symbol for e in structure.composition), str(ours["POTCAR.spec"]).split(), strict=True)
    )
    # all spins up at the start
    assert all(moment > 0 for moment in np.ravel(ours["INCAR"]["MAGMOM"]))


def test_which_potentials_are_others_than_the_projects() -> None:
    """Of the same name, in the release that we use and in the Project's; the page lists them."""
    level = VaspPbeTheory()
    theirs = MPRelaxSet.CONFIG["POTCAR_FUNCTIONAL"]
    assert (level.potcars, theirs) == ("PBE_54", "PBE")
    ours, projects = published_titles(level.potcars), published_titles(theirs)
    named = set(MPRelaxSet.CONFIG["POTCAR"].values())
    assert named - ours.keys() == {"W_pv"}
    others = {name for name in named & ours.keys() if ours[name].isdisjoint(projects[name])}
    page = (Path(__file__).parents[3] / "docs" / "vasp.md").read_text()
    told = re.search(r"of these (\d+) are not: (.*?) \(by the titles", page, re.DOTALL)
    assert told is not None
    assert int(told[1]) == len(others)
    assert set(re.split(r",\s*", told[2])) == others
    assert {"Ga_d", "Ge_d", "Li_sv", "Mg_pv", "Na_pv"} <= others  # GNoME's shifts are of these elements


def published_titles(release: str) -> dict[str, set[str]]:
    """Titles of the published potentials of a release, by their names."""
    path = files("pymatgen.io.vasp") / "potcar-summary-stats.json.bz2"
    titles: dict[str, set[str]] = defaultdict(set)
    for title, entries in json.loads(bz2.decompress(path.read_bytes()))[release].items():
        for entry in entries:
            titles[entry["symbol"]].add(title)
    return titles


def test_the_old_release_keeps_w_pv() -> None:
    level = theory(VaspPbeTheory(potcars="PBE"))
    assert isinstance(level, VaspRelaxation)
    assert level.symbols(crystals()["W"]) == {"W": "W_pv"}
    assert level.refusal(crystals()["YbN"]) == "theory 'vasp-pbe-mp' has no Yb: choose another theory"  # nor Yb_2
    assert level.id != theory(VaspPbeTheory()).id
    assert theory(VaspPbeTheory(max_restarts=0, wall_time_h=3)).id == theory(VaspPbeTheory()).id
    assert theory(VaspPbeTheory(incar={"ENCUT": 600})).id != theory(VaspPbeTheory()).id


@pytest.mark.parametrize("kind", [VaspPbeTheory, VaspR2scanTheory])
@pytest.mark.parametrize("release", ["PBE", "PBE_52", "PBE_54", "PBE_64"])
def test_every_element_has_a_published_potential(kind: Any, release: str) -> None:
    level = theory(kind(potcars=release))
    published = published_valences(release)
    for element in sorted(level.settings.supported):
        (symbol,) = level.symbols(Structure(Lattice.cubic(4.0), [element], [[0, 0, 0]])).values()
        assert symbol in published, (element, symbol)


def test_doctor_dft(vasp: Any, tmp_path: Path, gnome: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "spec:\n  campaign:\n    name: dft\n    elements: [Fe, O]\n"
        "    theory: {name: vasp-pbe-mp}\n    seeds: {limit: 3}\n"
    )
    status, out, _ = gnome("doctor", "dft", path)
    assert status == 0, out
    assert "ok       POTCAR of Fe: PAW_PBE Fe_pv 02Aug2007" in out
    assert "ENCUT = 520" in out
    assert "LDAUU = 5.3 0" in out
    assert "PBE_54: Fe Fe_pv, O O" in out
    (tmp_path / "potcars" / "POT_GGA_PAW_PBE_54" / "POTCAR.O.gz").unlink()
    site = tmp_path / "site.yaml"
    site.write_text(site.read_text().replace(str(STAND_IN), "/nowhere/vasp_std"))
    status, out, _ = gnome("doctor", "dft", path)
    assert status == 1
    assert "MISSING  VASP: /nowhere/vasp_std" in out
    assert "MISSING  POTCAR of O: no O of PBE_54 in" in out
    site.write_text("vasp:\n  comand: x\n")
    status, out, _ = gnome("doctor", "dft", path)
    assert status == 1
    assert "unknown key 'vasp.comand'" in out
    monkeypatch.setenv("GNOME_SITE", str(tmp_path / "none.yaml"))
    assert "no such file" in gnome("doctor", "dft", path)[1]
