"""Compositions as Parquet: what was proposed is kept on disk, in the layout of `shards`, so that `screening` reads it.

candidates-00000.parquet, …   `id` and `formula` (both the reduced formula), `strict`
summary.json                  how many; written last
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnome_torch.candidates.formulas.compositions import Compositions
from gnome_torch.candidates.tables.shards import SUMMARY, reduced_formulas, write_json, write_shards

SCHEMA = pa.schema([("id", pa.string()), ("formula", pa.string()), ("strict", pa.bool_())])


def write_compositions(blocks: Iterable[Compositions], directory: Path, **more: object) -> dict[str, Any]:
    """Write compositions, in place of those that were there; returns the summary.

    Args:
        blocks: as `compositions` gives them.
        directory: made if it is not there.
        more: to keep in the summary.
    """
    strict = 0

    def tables() -> Iterable[pa.Table]:
        nonlocal strict
        for block in blocks:
            formulas = reduced_formulas(block.numbers, block.amounts)
            strict += int(block.strict.sum())
            yield pa.table([formulas, formulas, pa.array(block.strict)], schema=SCHEMA)

    total = write_shards(tables(), directory, SCHEMA)
    summary = {**more, "compositions": total, "strict": strict}
    write_json(summary, directory / SUMMARY)
    return summary
