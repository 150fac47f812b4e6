"""`gnome data`: what others have computed, into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnome_torch.data.kinds import Corrections, EnergyKind
from workflows.commands.catalogue.importing import Destination, run_import

app = typer.Typer(help="Energies and crystals from outside: import them, list them.", no_args_is_help=True)
imports = typer.Typer(
    help="""Import energies and crystals. Ctrl-C stops; the same command goes on from there, and a repeated one changes
nothing. Records that cannot be used are written to a file of rejects, and the others go on.""",
    no_args_is_help=True,
)
app.add_typer(imports, name="import")

THEORY = Annotated[str, typer.Option(help="name of the theory; energies of different theories never share a hull")]
CORRECTIONS = Annotated[Corrections, typer.Option(help="corrections of total energies; as-given: those of the source")]
COMPATIBLE = Annotated[
    bool,
    typer.Option(
        "--compatible", help="the theory is a campaign's, and the energies were computed with the same settings"
    ),
]
OTHER_POTENTIALS = Annotated[
    bool, typer.Option("--other-potentials", help="with --compatible: although the theory's potentials are others")
]
REJECTS = Annotated[
    Path | None,
    typer.Option(
        help="CSV file for what cannot be used; by default in this directory, named after the source and the import"
    ),
]


@imports.command("file", epilog="Example: gnome data import file crystals.csv --theory pbe --energy heat --per-cell")
def import_file(
    path: Annotated[
        Path,
        typer.Argument(
            help="CSV, pymatgen JSON (.gz, .bz2 too), extended XYZ, ASE database, vasprun.xml or a directory"
        ),
    ],
    theory: THEORY,
    energy: Annotated[str, typer.Option(help="column of a CSV file with the energies, eV/atom")] = "target",
    per_cell: Annotated[
        bool, typer.Option("--per-cell", help="the energies are eV per cell, as the CIF has it")
    ] = False,
    kind: Annotated[EnergyKind, typer.Option(help="what the energies of a CSV file are measured from")] = (
        EnergyKind.FORMATION
    ),
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    rejects: REJECTS = None,
    licence: Annotated[str, typer.Option(help="of what is in it, such as 'CC BY 4.0'; kept with every entry")] = "",
    cite: Annotated[str, typer.Option(help="what its publishers ask to cite")] = "",
) -> None:
    """Import a file: formulas or crystals with formation energies (CSV), entries or crystals with total energies."""
    from gnome_torch.data.energy_files import EnergyFile

    source = EnergyFile(path.expanduser(), energy, per_cell, kind, licence.strip(), cite.strip())
    run_import(source, Destination(theory, corrections, compatible, rejects))


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
    run_import(source, Destination(theory, corrections, compatible, rejects))


@imports.command("mp", epilog="Example: gnome data import mp --elements Li,Fe,O")
def import_mp(
    elements: Annotated[str, typer.Option(help="chemical systems within these, such as Li,Fe,O; empty: all")] = "",
    r2scan: Annotated[bool, typer.Option("--r2scan", help="r2SCAN in the place of PBE(+U)")] = False,
    theory: Annotated[str, typer.Option(help="name of the theory; by default mp-pbe or mp-r2scan")] = "",
    corrections: CORRECTIONS = Corrections.AS_GIVEN,
    compatible: COMPATIBLE = False,
    other_potentials: OTHER_POTENTIALS = False,
    rejects: REJECTS = None,
) -> None:
    """Import entries of the Materials Project, with its corrections. Your key is read from MP_API_KEY."""
    from gnome_torch.data.materials_project import MaterialsProject

    source = MaterialsProject(_elements(elements), "R2SCAN" if r2scan else "GGA_GGA+U")
    name = theory or ("mp-r2scan" if r2scan else "mp-pbe")
    run_import(source, Destination(name, corrections, compatible, rejects, other_potentials))


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
    other_potentials: OTHER_POTENTIALS = False,
    rejects: REJECTS = None,
) -> None:
    """Import crystals and energies from any OPTIMADE provider."""
    from gnome_torch.data.optimade import OptimadeSource

    source = OptimadeSource(base_url, energy, filter, per_cell, kind)
    run_import(source, Destination(theory, corrections, compatible, rejects, other_potentials))


@app.command("list", epilog="Example: gnome data list")
def data_list() -> None:
    """Theories of the database, with the number of entries from each source, and their licence."""
    from workflows.store.connection import open_database

    _, store = open_database()
    rows = store.entries.theories()
    for row in rows:
        licence = f"  licence: {row['licence']}" if row["licence"] else ""
        print(f"{row['theory']}  {row['source']}  {row['count']:,} entries{licence}")
    if not rows:
        print("no entry yet")


def _elements(text: str) -> tuple[str, ...]:
    """Elements of a list such as Li,Fe,O."""
    from pymatgen.core import Element

    from gnome_torch.data.outside import SourceError

    symbols = tuple(symbol.strip() for symbol in text.split(",") if symbol.strip())
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise SourceError(f"--elements {text}: {symbol!r} is not an element; write Li,Fe,O")
    return symbols
