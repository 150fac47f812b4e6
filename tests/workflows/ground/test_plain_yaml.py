"""Campaign files that no person wrote: one line at once, and no memory."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from workflows.campaign.settings import read_campaign_file
from workflows.ground.plain_yaml import MOST_BYTES, YamlError, plain_yaml
from workflows.ground.strict import SettingsError

CASES = Path(__file__).parents[2] / "data" / "cases" / "files"
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize("name", ["yaml-aliases.yaml", "yaml-deep.yaml"])
def test_traps_are_one_line(name: str) -> None:
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(SettingsError, match=rf"{name}: not a YAML file: more than \d+ (values|levels)") as caught:
        read_campaign_file(CASES / name)
    assert time.process_time() - start < 5  # a second on a machine that does nothing else
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MERGES, "values once its aliases are written out"),
        ("a: &a [*a]", "values once its aliases are written out"),
        ("- " * 60 + "x", "more than 50 levels"),
        ("a: " + "x" * MOST_BYTES, "more than 1 MB"),
    ],
    ids=["merges", "itself", "levels", "long"],
)
def test_relatives(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(YamlError, match=reason):
        plain_yaml(tmp_path / "c.yaml")


def test_what_a_person_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("base: &base {x: 1}\nother: {<<: *base, y: [1, 2]}\n")
    assert plain_yaml(tmp_path / "c.yaml") == {"base": {"x": 1}, "other": {"x": 1, "y": [1, 2]}}
    (tmp_path / "c.yaml").write_text("")
    assert plain_yaml(tmp_path / "c.yaml") is None
