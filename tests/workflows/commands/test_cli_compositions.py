"""`gnome generate compositions` as a user meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_compositions(tmp_path: Path, gnome: Any) -> None:
    (tmp_path / "known.csv").write_text("formula\nQq\nLi2O\n")
    out = tmp_path / "formulas.csv"
    arguments = ("generate", "compositions", "--elements", "Li,Si,O", "--known", tmp_path / "known.csv", "--out", out)
    status, text, err = gnome(*arguments, "--max-amount", 4)
    assert status == 0, err
    rows = out.read_text().splitlines()
    assert rows[0] == "formula,strict"
    assert "Li4SiO4,1" in rows
    assert not any(row.startswith("Li2O,") for row in rows)
    assert f"{len(rows) - 1} formulas" in text
    assert "1 known compositions left out" in text
    assert "known.csv, line 2: 'Qq'" in err
    assert "known.csv,line 2,Qq," in (tmp_path / "formulas.csv.rejects.csv").read_text()
    status, _, err = gnome("generate", "compositions", "--elements", "Li,Xx", "--out", out)
    assert status == 1
    assert "Xx" in err
    assert out.read_text().splitlines() == rows
