"""Text from outside in a spreadsheet: never a formula."""

from __future__ import annotations

import csv
from pathlib import Path

from gnome_torch.data.rejects import Reject, write_rejects
from gnome_torch.spreadsheets import harmless


def test_cells() -> None:
    for text in ("=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1"):
        assert harmless(text) == f"'{text}"
    for value in ("-1.5", "+2", "-1e-3", "NaCl", "", "a=b", -1.5, None, "-inf"):
        assert harmless(value) == value


def test_rejects(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    write_rejects(
        [Reject("=f.csv", "line 2", '=HYPERLINK("x")', "no formula"), Reject("f", "line 3", "-5.4", "?")], path
    )
    with path.open(newline="") as file:
        rows = [(row["file"], row["value"]) for row in csv.DictReader(file)]
    assert rows == [("'=f.csv", '\'=HYPERLINK("x")'), ("f", "-5.4")]
