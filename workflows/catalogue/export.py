"""What a campaign found, as files for others: everything near the hull, the networks, where each phase comes from.

    entries.csv          a row an entry, without its crystal; columns below
    entries.json.gz      pymatgen's ComputedStructureEntry: uncorrected energies, corrections beside them, eV per cell
    structures.zip       a CIF an entry
    structures.parquet   the crystals as JSON, with their keys
    models/              the last ensemble: configuration, weights, metrics, hash of what it was trained on
    campaign.json        settings, theory, rounds, how much of it is stable, unique and novel
    README.md            what all this is, and how to read it back
    SHA256SUMS           of every file

The same database gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from gnome_torch.data.origins import licence_of
from gnome_torch.files import whole_directory
from gnome_torch.spreadsheets import CsvWriter
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.fields import FIELDS, Field, Kind
from workflows.catalogue.known import Known
from workflows.catalogue.licences import NO_COMMERCE, Imported, imported
from workflows.catalogue.phases.crystals import cif_of
from workflows.catalogue.sun import Sun, sun_of
from workflows.store import NetworkKind, Store, StoreError, model_id
from workflows.store.base import Document

SUMS = "SHA256SUMS"
# columns that are not the field of their name
_OURS = {
    "id": FIELDS["entry"],
    "spacegroup": FIELDS["spacegroup_number"],
    "decomposition": Field(
        "decomposition",
        Kind.TEXT,
        "stable phases that it would fall apart into, as JSON: key to fraction of atoms",
        lambda known: json.dumps(known.document["stability"]["decomposition"], sort_keys=True),
    ),
}
COLUMNS = {
    name: _OURS.get(name) or FIELDS[name]
    for name in (
        "id",
        "formula",
        "chemsys",
        "nsites",
        "spacegroup",
        "energy",
        "correction",
        "formation_energy",
        "e_above_hull",
        "e_above_hull_uncorrected",
        "phase_separation_energy",
        "decomposition",
        "source",
        "parent",
        "substitution",
        "round",
        "predicted_formation_energy",
        "iqr",
        "prototype",
        "new_composition",
        "likely_disorder",
        "licence",
    )
}
"""Of `entries.csv`."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in the zip: the same content gives the same bytes


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        directory: where.
        entries: entries within the distance.
        without_crystal: those of them of which only the composition is known.
        stable: on the hull.
        models: networks.
        imported: what its hull and networks rest on, of what others have published.
    """

    directory: Path
    entries: int
    without_crystal: int
    stable: int
    models: int
    imported: Sequence[Imported]


def export(store: Store, name: str, directory: Path, distance: float) -> Exported:
    """Write a campaign's results; an earlier export of ours in the same place is replaced when this one is complete.

    Args:
        store: the database.
        name: of the campaign.
        directory: where.
        distance: to the hull at most, eV/atom.

    Raises:
        StoreError: there is no such campaign, it has no entry on a hull, or the directory is somebody else's.
    """
    campaign = store.campaigns.get(name)
    if directory.exists() and any(directory.iterdir()) and not (directory / SUMS).exists():
        raise StoreError(f"{directory} holds files that are not an export of ours: name another directory with --out")
    documents = store.entries.on_hull(campaign["theory"], campaign["settings"]["elements"], distance)
    if not documents:
        raise StoreError(f"campaign '{name}' has no entry within {distance} eV/atom of a hull yet: nothing to export")
    with whole_directory(directory) as folder:
        with_crystal = [d for d in documents if d.get("structure") is not None]
        _write_table(folder / "entries.csv", documents)
        _write_entries(folder / "entries.json.gz", with_crystal)
        _write_structures(folder, with_crystal)
        models = _copy_models(store, name, folder / "models")
        rounds = [{k: d.get(k) for k in ("number", "counts", "result")} for d in store.rounds.all(name)]
        about = {"name": name, "theory": campaign["theory"], "corrections": campaign["scheme"]}
        sun, theirs = sun_of(store, name), imported(store, campaign["theory"], campaign["settings"]["elements"])
        about |= {"settings": campaign["settings"], "rounds": rounds, "distance": distance, "sun": sun.as_dict()}
        about |= {"imported": [asdict(row) for row in theirs]}
        (folder / "campaign.json").write_text(json.dumps(about, indent=2, sort_keys=True, default=str) + "\n")
        stable = sum(d["stability"]["e_above_hull"] <= STABLE_TOLERANCE for d in documents)
        done = Exported(directory, len(documents), len(documents) - len(with_crystal), stable, models, theirs)
        (folder / "README.md").write_text(_readme(campaign, distance, done, sun))
        _write_sums(folder)
    return done


def _write_table(path: Path, documents: Sequence[Document]) -> None:
    with path.open("w", newline="") as file:
        writer = CsvWriter(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for known in map(Known, documents):
            writer.writerow([field.cell(field.read(known)) for field in COLUMNS.values()])


def _write_entries(path: Path, documents: Sequence[Document]) -> None:
    entries = []
    for document in documents:
        calculation = document.get("calculation") or {}
        entry = ComputedStructureEntry(
            Structure.from_dict(document["structure"]),
            document["energy"],
            document["correction"],
            parameters={key: calculation[key] for key in ("run_type", "hubbards") if calculation.get(key)},
            data={"theory": document["theory"], "lineage": document["lineage"], **_source(document)},
            entry_id=document["_id"],
        )
        entries.append(entry.as_dict())
    # the time in a gzip's head would make every export another file
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
        file.write(json.dumps(entries, sort_keys=True).encode())


def _source(document: Document) -> Document:
    """Where an entry comes from, and its licence: it stays with what is read back."""
    outside = document.get("outside")
    return {"source": outside["source"], "licence": licence_of(outside)} if outside else {}


def _write_structures(directory: Path, documents: Sequence[Document]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with zipfile.ZipFile(directory / "structures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for document in documents:
            cif = cif_of(Structure.from_dict(document["structure"]))
            archive.writestr(zipfile.ZipInfo(f"{document['formula']}-{document['_id']}.cif", EPOCH), cif)
    columns = {
        "id": [document["_id"] for document in documents],
        "formula": [document["formula"] for document in documents],
        "structure": [json.dumps(document["structure"], sort_keys=True) for document in documents],
    }
    pq.write_table(pa.table(columns), directory / "structures.parquet")


def _copy_models(store: Store, name: str, directory: Path) -> int:
    """The last ensemble of each kind of networks; returns how many networks."""
    count = 0
    for kind in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        numbers = [document["number"] for document in store.rounds.all(name)]
        trained = (store.models.get(model_id(name, number, kind)) for number in sorted(numbers, reverse=True))
        model = next((document for document in trained if document), None)
        for place in model["directories"] if model else ():
            if not Path(place).is_dir():
                raise StoreError(f"campaign '{name}': network {place} is not here: export where its directory is")
            shutil.copytree(place, directory / kind / Path(place).name, ignore=shutil.ignore_patterns("tensorboard"))
            count += 1
    return count


def _readme(campaign: Document, distance: float, done: Exported, sun: Sun) -> str:
    columns = "\n".join(f"| `{name}` | {field.meaning} |" for name, field in COLUMNS.items())
    missing = f" ({done.without_crystal} of them without a crystal, in the table alone)" if done.without_crystal else ""
    settings = json.dumps(campaign["settings"]["theory"], sort_keys=True)
    return f"""# {campaign["_id"]}

{done.entries} entries within {distance} eV/atom of the hull{missing}, {done.stable} on it; {done.models} networks.
Written by gnome-torch, an open version of GNoME's discovery loop (Merchant et al., Nature 624, 80, 2023).

{_licences(done.imported)}
Theory: `{campaign["theory"]}`, corrections: {campaign["scheme"]}. Its settings: `{settings}`.
Energies of other theories must not be put beside these.

Stable, unique and novel crystals (S.U.N.): {sun.text}.
Here {sun.meaning}.
The crystal counts, not the composition. MatterGen's S.U.N. (Zeni et al., Nature 639, 624, 2025) is the rate within 0.1
eV/atom.

| file | what |
|---|---|
| `entries.csv` | a row an entry |
| `entries.json.gz` | pymatgen's ComputedStructureEntry, uncorrected energies, corrections beside them |
| `structures.zip`, `structures.parquet` | the crystals, as CIF and as pymatgen's JSON |
| `models/` | the last networks: configuration, weights (safetensors), metrics with the hash of the training data |
| `campaign.json` | settings of the campaign, what its rounds brought, and the S.U.N. rates |
| `SHA256SUMS` | `sha256sum --check SHA256SUMS` |

Read back, to the same hull:

    gnome data import file entries.json.gz --theory {campaign["theory"]}

Columns of `entries.csv` (energies in eV, distances in angstrom):

| column | meaning |
|---|---|
{columns}
"""


def _licences(theirs: Sequence[Imported]) -> str:
    """What the README says of data that others have published."""
    if not theirs:
        return ""
    said = f"**{NO_COMMERCE.capitalize()}**, as the table says. " if any(row.forbids_commerce for row in theirs) else ""
    rows = "\n".join(
        f"| {row.origin.title} | `{row.source}` | {row.licence} | {row.count} | {row.cited} |" for row in theirs
    )
    return f"""
## Data of others

{said}The hull and the networks rest on entries that others have published; column `licence` of `entries.csv` names that
of those which are here. What the campaign computed itself is under the licence that whoever publishes it chooses.

| publisher | source | licence | entries | cite |
|---|---|---|---|---|
{rows}
"""


def _write_sums(directory: Path) -> None:
    lines = io.StringIO()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        lines.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(directory)}\n")
    (directory / SUMS).write_text(lines.getvalue())
