"""Placeholders of POTCAR files, from titles and valences that pymatgen publishes: for the stand-in, not for VASP."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

FOLDERS = {"PBE": "POT_GGA_PAW_PBE", "PBE_54": "POT_GGA_PAW_PBE_54"}


def write_placeholders(directory: Path | str, symbols: Iterable[str], functional: str = "PBE_54") -> None:
    """Write `FOLDER/POTCAR.SYMBOL.gz` for some symbols, such as Fe_pv, as PMG_VASP_PSP_DIR has them."""
    folder = Path(directory) / FOLDERS[functional]
    folder.mkdir(parents=True, exist_ok=True)
    published = _published()[functional]
    for symbol in symbols:
        title, entry = next(
            (title, entry) for title, entries in published.items() for entry in entries if entry["symbol"] == symbol
        )
        with gzip.open(folder / f"POTCAR.{symbol}.gz", "wt") as file:
            file.write(_text(symbol, title, entry))


@cache
def _published() -> dict[str, Any]:
    path = files("pymatgen.io.vasp") / "potcar-summary-stats.json.bz2"
    return dict(json.loads(bz2.decompress(path.read_bytes())))


def _text(symbol: str, title: str, entry: dict[str, Any]) -> str:
    name = f"PAW_PBE {symbol} {title.removeprefix(f'PAW_PBE{symbol}')}"
    return "\n".join(
        [
            f"  {name}",
            f"   {entry['ZVAL']:.4f}",
            " parameters from PSCTR are:",
            f"   VRHFIN ={entry['VRHFIN']}",
            f"   LEXCH  = {entry['LEXCH']}",
            "   EATOM  =   100.0000 eV,    7.3500 Ry",
            f"   TITEL  = {name}",
            "   LULTRA =        F    use ultrasoft PP ?",
            "   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no",
            f"   POMASS =   10.000; ZVAL   =  {entry['ZVAL']:7.3f}    mass and valenz",
            "   RCORE  =    2.000    outmost cutoff radius",
            "   ENMAX  =  400.000; ENMIN  =  300.000 eV",
            "END of PSCTR-controll parameters",
            " local part",
            "   1.000000000",
            "End of Dataset",
            "",
        ]
    )
