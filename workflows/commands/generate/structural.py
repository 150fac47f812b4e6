"""`gnome generate structural`: substitution in known crystals."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands.errors import interruptible
from workflows.commands.generate.elements import (
    ELEMENTS,
    EXCLUDE,
    MAX_ELEMENTS,
    NOBLE_GASES,
    RADIOACTIVE,
    SYSTEMS,
    Elements,
)
from workflows.commands.generate.parents import read_parents
from workflows.commands.generate.summary import print_summary

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console


class Order(StrEnum):
    """Which candidates are kept where there are more than wanted."""

    PROBABLE = "probable"
    RANDOM = "random"


CORES = os.cpu_count() or 1

PARENTS = Annotated[
    list[str],
    typer.Option(
        help="known crystals: 'prototypes' (AFLOW's 288), a file (CIF, POSCAR, extended XYZ, ASE database, "
        "pymatgen JSON, CSV with a column cif) or a directory of files; can be given several times"
    ),
]
OUT = Annotated[Path, typer.Option(help="directory for the candidates")]
LIMIT = Annotated[int | None, typer.Option(min=1, help="keep at most this many")]
ORDER = Annotated[Order, typer.Option(help="which to keep: the most probable, or a random sample")]
SEED = Annotated[int, typer.Option(min=0, help="seed of the random sample")]
KNOWN = Annotated[
    Path | None, typer.Option(help="CSV of known compositions (column formula), left out like those of the parents")
]
THRESHOLD = Annotated[float, typer.Option(min=1e-12, max=1.0, help="smallest substitution probability")]
SAPS = Annotated[bool, typer.Option(help="also replace an ion on some of its sites only")]
ASSIGNMENTS = Annotated[
    int,
    typer.Option(
        min=0,
        help="elements on the ions of library prototypes in every way, whatever the threshold: so many ways at most",
    ),
]
CHOICES = Annotated[int, typer.Option(min=0, help="choices of sites per ion at most")]
SPLIT_SITES = Annotated[int, typer.Option(min=0, max=20, help="an ion on more sites changes by whole orbits only")]
MAX_ATOMS = Annotated[int, typer.Option(min=2, max=200, help="atoms in the cell at most")]
CHARGE_BALANCE = Annotated[bool, typer.Option("--charge-balance", help="only what common oxidation states can balance")]
MIN_CONTACT = Annotated[
    float, typer.Option(min=0.0, help="shortest distance over the sum of the covalent radii at least")
]
WORKERS = Annotated[int, typer.Option(min=1, help="processes; the candidates are the same for any number")]


def structural(
    parents: PARENTS,
    elements: ELEMENTS,
    out: OUT,
    limit: LIMIT = None,
    order: ORDER = Order.PROBABLE,
    seed: SEED = 0,
    known: KNOWN = None,
    threshold: THRESHOLD = 0.001,
    assignments: ASSIGNMENTS = 2000,
    saps: SAPS = True,
    choices: CHOICES = 64,
    split_sites: SPLIT_SITES = 12,
    systems: SYSTEMS = "",
    exclude: EXCLUDE = "",
    radioactive: RADIOACTIVE = False,
    noble_gases: NOBLE_GASES = False,
    max_atoms: MAX_ATOMS = 20,
    max_elements: MAX_ELEMENTS = 5,
    charge_balance: CHARGE_BALANCE = False,
    min_contact: MIN_CONTACT = 0.75,
    workers: WORKERS = CORES,
) -> None:
    """Substitute in known crystals, fully and on symmetry-distinct parts of their sites.

    Ctrl-C stops; the same command goes on from there. Running it again when it is done changes nothing.
    """
    from rich.console import Console

    from gnome_torch.candidates.structural.generation import generate
    from gnome_torch.candidates.structural.partial import PartialLimits
    from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions
    from gnome_torch.candidates.structural.selection import Request, Selection
    from gnome_torch.candidates.structural.substitution import SubstitutionRules

    policy = Elements(elements, exclude, systems, radioactive, noble_gases).policy(
        max_sites=max_atoms, max_elements=max_elements, charge_balance=charge_balance, min_contact=min_contact
    )
    console = Console()
    crystals, unsuitable = read_parents(parents, max_atoms, console)
    formulas = _known(known, out) if known else []
    left_out = known_compositions([*formulas, *(parent.structure.reduced_formula for parent in crystals)])
    limits = PartialLimits(split_sites, choices)
    options = StructuralOptions(policy, SubstitutionRules(threshold), saps, limits, assignments, left_out)
    request = Request(options, Selection(limit, order.value, seed))
    with interruptible(), _progress(console) as report:
        summary = generate(crystals, request, out, refused=unsuitable, workers=workers, progress=report)
    print_summary(summary, out, console)


def _known(path: Path, out: Path) -> list[str]:
    """The known compositions of a file; rows that are none are written to the directory of the candidates."""
    from gnome_torch.data.files import read_formulas
    from gnome_torch.data.rejects import Reject, keep_rejects

    rejects: list[Reject] = []
    formulas = read_formulas(path, rejects.append)
    keep_rejects(rejects, out / "known.rejects.csv")
    return formulas


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int, int], None]]:
    """A progress bar on the terminal, or a line now and then in a log."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("units of parents"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[passed]:,} candidates"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, passed=0)

        def report(done: int, total: int, passed: int) -> None:
            bar.update(task, completed=done, total=total, passed=passed)

        yield report
