"""The site file: walltimes, defaults, what the documentation says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.campaign.plan import STEPS
from workflows.ground.queues import CATEGORIES, Queue, Slurm, seconds
from workflows.ground.site import DatabaseSite, Site, VaspSite, read_site
from workflows.ground.strict import SettingsError


def test_walltimes() -> None:
    assert seconds("1-02:03:04") == 86400 + 2 * 3600 + 3 * 60 + 4
    assert seconds("00:00:01") == 1
    for wrong in ("60", "1:00", "1-2", "-1:00:00", "24:00:60", "24:00:00\n", ""):
        with pytest.raises(ValueError, match="is not a walltime"):
            seconds(wrong)
    assert Queue(walltime="01:00:00", warning_s=0).last_start_s == 3600


def test_walltimes_of_yaml_are_not_numbers_to_the_base_of_60(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("slurm: {relax: {walltime: 24:00:00, nodes: 2, memory: 64, gpus: 2}}\n")
    relax = read_site(tmp_path / "site.yaml").slurm.relax
    assert (relax.walltime, relax.nodes, relax.memory, relax.gpus) == ("24:00:00", 2, "64", "2")


def test_a_site_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: no such file"):
        read_site(tmp_path / "none.yaml")


def test_an_empty_site_is_a_site() -> None:
    assert Site().slurm.relax.walltime == "24:00:00"


def test_every_kind_of_work_has_a_queue() -> None:
    assert {step.category for step in STEPS} == set(CATEGORIES)
    assert {Slurm().queue(category).pack for category in CATEGORIES} == {1, 2}


def test_one_setting_of_a_category_leaves_its_others_alone() -> None:
    for category in CATEGORIES:
        one = Site.model_validate({"slurm": {category: {"qos": "fast"}}}).slurm.queue(category)
        assert one == Slurm().queue(category).model_copy(update={"qos": "fast"})


def settings_table() -> str:
    """The settings as docs/cluster.md shows them."""
    rows = ["| setting | by default | meaning |", "|---|---|---|"]
    for prefix, model in {"vasp": VaspSite, "database": DatabaseSite, "slurm": Slurm, "slurm.CATEGORY": Queue}.items():
        for name, field in model.model_fields.items():
            default = field.get_default()
            shown = "" if field.is_required() or default in (None, (), "") else f"`{default}`"
            if isinstance(default, Queue):
                own = {key: value for key, value in default.model_dump().items() if value != getattr(Queue(), key)}
                shown = ", ".join(f"`{key}: {value}`" for key, value in own.items())
            rows.append(f"| `{prefix}.{name}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_is_in_the_documentation() -> None:
    page = Path(__file__).parents[3] / "docs" / "cluster.md"
    assert settings_table() in page.read_text(), f"docs/cluster.md should have:\n{settings_table()}"
