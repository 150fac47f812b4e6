"""How campaigns begin: names, seeds, directories; and begin again after `lpad reset`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from campaigns import run_all, small_campaign, stages
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from gnome_torch.data.files import StructureFileError
from workflows.campaign.begin import begin
from workflows.campaign.places import seed_rejects_of
from workflows.campaign.settings import SettingsError
from workflows.store import CampaignExistsError, Store


def test_a_name_with_other_settings_is_refused(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    with pytest.raises(CampaignExistsError):
        begin(store, launchpad, small_campaign(tmp_path, rounds=5))
    assert store.campaigns.get("emt")["settings"]["rounds"] == 1


def test_seeds_from_a_file(launchpad: LaunchPad, tmp_path: Path) -> None:
    crystal = Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.to(filename=str(tmp_path / "known.cif"))
    seeds = {"source": str(tmp_path / "known.cif"), "references": 1, "max_sites": 4}
    store = run_all(launchpad, small_campaign(tmp_path, seeds=seeds), tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    sources = Counter(d["lineage"]["source"] for d in store.candidates.of_round("emt", 0))
    assert sources == {"element": 2, "file": 1}


def test_bad_crystals_among_the_seeds_are_set_aside(
    launchpad: LaunchPad, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one file as in a directory; they are named once, and kept in the campaign's directory."""
    good = str(CifWriter(Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
    broken = good.replace("data_CuAu", "data_broken").replace("_cell_length_a", "_cell_length_q")
    (tmp_path / "known.cif").write_text(f"{good}\n{broken}")
    settings = small_campaign(tmp_path, seeds={"source": str(tmp_path / "known.cif"), "references": 1})
    begin(Store(launchpad.db), launchpad, settings)
    assert Store(launchpad.db).candidates.count("emt", 0) == 3
    rows = seed_rejects_of(settings.root).read_text().splitlines()
    assert len(rows) == 2
    assert "known:broken" in rows[1]
    err = capsys.readouterr().err
    assert err.count("known:broken") == 1
    assert f"gnome: 1 left out, all in {seed_rejects_of(settings.root)}" in err


def test_a_bad_seed_file_registers_nothing(launchpad: LaunchPad, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    seeds = {"source": str(tmp_path / "bad.json"), "references": 1}
    with pytest.raises(StructureFileError, match="no crystal in it"):
        begin(Store(launchpad.db), launchpad, small_campaign(tmp_path, seeds=seeds))
    assert Store(launchpad.db).database["campaigns"].count_documents({}) == 0
    assert not (tmp_path / "campaign").exists()


def test_the_seed_file_is_read_once(launchpad: LaunchPad, tmp_path: Path) -> None:
    """A worker elsewhere need not see it, and moving it later stops nothing."""
    crystal = Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.to(filename=str(tmp_path / "known.cif"))
    settings = small_campaign(tmp_path, seeds={"source": str(tmp_path / "known.cif"), "references": 1})
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    (tmp_path / "known.cif").unlink()
    begin(store, launchpad, settings)
    assert store.candidates.count("emt", 0) == 3


def test_another_campaigns_directory_is_refused(database: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Its training set and its networks are in there, perhaps of another theory, perhaps from another database."""
    begin(Store(launchpad.db), launchpad, small_campaign(tmp_path))
    with pytest.raises(SettingsError, match=r"holds the files of campaign 'emt'.*set 'directory'"):
        begin(Store(launchpad.db), launchpad, small_campaign(tmp_path, name="other"))
    elsewhere = LaunchPad(database.host, database.port, f"{launchpad.name}_2", strm_lvl="WARNING")
    with pytest.raises(SettingsError, match="of this or another database"):
        begin(Store(elsewhere.db), elsewhere, small_campaign(tmp_path))
    assert Store(elsewhere.db).database["campaigns"].count_documents({}) == 0


def test_what_lpad_reset_deleted_is_added_again(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    launchpad.reset("", require_password=False)
    assert stages(launchpad) == {}
    run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
