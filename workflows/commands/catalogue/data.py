"""`gnome data`: what others have computed, into the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnome_torch.data.kinds import Corrections, EnergyKind

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.outside import Source
    from workflows.store import Store

app = typer.Typer(help="Energies and crystals from outside: import them, list them.", no_args_is_help=True)
imports = typer.Typer(
    help="""Import energies and crystals. Ctrl-C stops; the same command goes on from there, and a repeated one changes
nothing. Records that cannot be used are written to a file of rejects, and the others go on.""",
    no_args_is_help=True,
)
app.add_typer(imports, name="import")

THEORY = Annotated[str, typer.Option(help="name of the level of theory; different theories never share a hull")]
CORRECTIONS = Annotated[Corrections, typer.Option(help="corrections of total energies; as-given: those of the source")]
COMPATIBLE = Annotated[
    bool, typer.Option("--compatible", help="the theory is a campaign's, computed with the very same settings")
]
REJECTS = Annotated[
    Path | None,
    typer.Option(
        help="CSV file for what cannot be used; by default in this directory, named after the source and the import"
    ),
]


@imports.command("file", epilog="Example: gnome data import file crystals.csv --theory pbe --energy heat --per-cell")
def import_file(
    path: Annotated[Path, typer.Argument(help="CSV, pymatgen JSON (.gz, .bz2 too), extended XYZ, ASE database")],
    theory: THEORY,
    energy: Annotated[str, typer.Option(help="column of a CSV file with the energies, eV/atom")] = "target",
    per_cell: Annotated[bool, typer.Option("--per-cell", help="they are eV per cell, as the CIF has it")] = False,
    kind: Annotated[EnergyKind, typer.Option(help="what the energies of a CSV file are measured from")] = (
        EnergyKind.FORMATION
    ),
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    rejects: REJECTS = None,
) -> None:
    """Import a file: formulas or crystals with formation energies (CSV), entries or crystals with total energies."""
    from gnome_torch.data.energy_files import EnergyFile

    source = EnergyFile(path.expanduser(), energy, per_cell, kind)
    _import(source, theory, corrections, compatible, rejects)


@imports.command("gnome", epilog="Example: gnome data import gnome stable_materials_summary.csv --crystals by_id.zip")
def import_gnome(
    summary: Annotated[Path, typer.Argument(help="stable_materials_summary.csv of GNoME's release")],
    crystals: Annotated[
        Path | None, typer.Option(help="zip of its CIF files (by_id.zip); without it, compositions and energies only")
    ] = None,
    theory: THEORY = "gnome-pbe",
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    rejects: REJECTS = None,
) -> None:
    """Import what GNoME published. Its energies hold the corrections of MP2020.

    To put them beside the Materials Project's: `--corrections gnome` adds the shifts between the pseudopotentials.
    """
    from gnome_torch.data.gnome_release import GnomeRelease

    source = GnomeRelease(summary.expanduser(), crystals.expanduser() if crystals else None)
    _import(source, theory, corrections, compatible, rejects)


@imports.command("mp", epilog="Example: gnome data import mp --elements Li,Fe,O")
def import_mp(
    elements: Annotated[str, typer.Option(help="chemical systems within these, such as Li,Fe,O; empty: all")] = "",
    r2scan: Annotated[bool, typer.Option("--r2scan", help="r2SCAN in the place of PBE(+U)")] = False,
    theory: Annotated[str, typer.Option(help="name of the level of theory; by default mp-pbe or mp-r2scan")] = "",
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    rejects: REJECTS = None,
) -> None:
    """Import entries of the Materials Project, with its corrections. Your key is read from MP_API_KEY."""
    from pymatgen.core import Element

    from gnome_torch.data.materials_project import MaterialsProject
    from gnome_torch.data.outside import SourceError

    symbols = [symbol.strip() for symbol in elements.split(",") if symbol.strip()]
    unknown = [symbol for symbol in symbols if not Element.is_valid_symbol(symbol)]
    if unknown:
        raise SourceError(f"--elements {elements}: {unknown[0]!r} is not an element; write Li,Fe,O")
    source = MaterialsProject(tuple(symbols), "R2SCAN" if r2scan else "GGA_GGA+U")
    name = theory or ("mp-r2scan" if r2scan else "mp-pbe")
    _import(source, name, corrections, compatible, rejects)


@imports.command(
    "optimade",
    epilog="Example: gnome data import optimade https://oqmd.org/optimade --energy _oqmd_delta_e --kind formation "
    """--theory oqmd-pbe --filter 'elements HAS ALL "Li","O" AND nelements=2'""",
)
def import_optimade(
    base_url: Annotated[str, typer.Argument(help="address of the provider's database, without the version")],
    energy: Annotated[str, typer.Option(help="the provider's property with the energy, eV/atom; a.b reaches into it")],
    theory: THEORY,
    filter: Annotated[str, typer.Option(help="which crystals, in OPTIMADE's language; empty: all")] = "",
    per_cell: Annotated[bool, typer.Option("--per-cell", help="the energies are eV per cell")] = False,
    kind: Annotated[EnergyKind, typer.Option(help="what they are measured from")] = EnergyKind.TOTAL,
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    rejects: REJECTS = None,
) -> None:
    """Import crystals and energies from any OPTIMADE provider."""
    from gnome_torch.data.optimade import OptimadeSource

    source = OptimadeSource(base_url, energy, filter, per_cell, kind)
    _import(source, theory, corrections, compatible, rejects)


@app.command("list", epilog="Example: gnome data list")
def data_list() -> None:
    """Theories of the database, with the number of entries from each source."""
    from workflows.store.connection import open_database

    _, store = open_database()
    rows = store.entries.theories()
    for row in rows:
        print(f"{row['theory']}  {row['source']}  {row['count']:,} entries")
    if not rows:
        print("no entry yet")


def _import(source: Source, theory: str, corrections: Corrections, compatible: bool, rejects: Path | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from gnome_torch.data.outside import SourceError
    from workflows.catalogue.imports import Imported, import_source
    from workflows.store.connection import open_database

    _, store = open_database()
    so_far: list[Imported] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(source.name, total=None)

        def report(imported: Imported, done: float | None) -> None:
            text = f"{source.name}: {imported.read:,} read, {imported.new:,} new, {imported.rejected:,} rejected"
            so_far.append(imported)
            progress.update(task, description=text, completed=done, total=None if done is None else 1.0)

        try:
            imported = import_source(store, source, theory, rejects, corrections, compatible, report)
        except KeyboardInterrupt:
            print("gnome: stopped; the same command goes on from here", file=sys.stderr)
            raise typer.Exit(130) from None
        except SourceError as error:
            before = so_far[-1] if so_far else None
            if before is None or before.read == before.rejected:
                raise
            raise SourceError(
                f"{error}; {before.read - before.rejected:,} records were read before and are kept: they are placed "
                "on a hull when the import has ended"
            ) from error
    if imported.repeated:
        print(f"{source.name}: imported before ({imported.read:,} records), and unchanged since: nothing to do")
        if imported.placed:
            return
    else:
        kept = imported.read - imported.rejected
        print(f"{source.name}: {kept:,} of {imported.read:,} records used, {imported.new:,} of them new")
    for warning in imported.warnings:
        print(f"gnome: {source.name} warns: {warning}", file=sys.stderr)
    if imported.rejected and not imported.repeated:
        print(f"gnome: {imported.rejected:,} records left out, all in {imported.rejects}", file=sys.stderr)
    _place(store, imported.theories)
    store.imports.update(imported.key, placed=True)


def _place(store: Store, theories: Any) -> None:
    """Renew the hulls that have changed, and with them what is known of the campaigns' finds."""
    from gnome_torch.stability.hull import STABLE_TOLERANCE
    from workflows.catalogue.hulls import renew
    from workflows.catalogue.novelty import NEAR, judge

    for theory in theories:
        renewed = renew(store, theory)
        on_hull = sum(point.e_above_hull <= STABLE_TOLERANCE for point in renewed.points.values())
        print(f"theory {theory}: {len(renewed.points):,} entries placed, {on_hull:,} of them on the hull")
        if renewed.doubtful:
            print(f"gnome: {len(renewed.doubtful):,} energies that no crystal has are kept out", file=sys.stderr)
        if renewed.missing:
            print(
                f"gnome: compounds of {', '.join(renewed.missing)} are not placed: no entry of the pure element; "
                "import one of the same theory",
                file=sys.stderr,
            )
    judge(store, store.entries.found_near_hull(NEAR))
