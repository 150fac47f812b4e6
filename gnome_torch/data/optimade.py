"""Crystals and energies from an OPTIMADE provider, page by page, through the client of `optimade`.

OPTIMADE fixes how crystals are served, not energies: these are in a property of the provider's own, which is named.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pymatgen.core import Structure

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.materials_project import MaterialsProject
from gnome_torch.data.outside import Batch, OutsideRecord, Position, SourceError, crystal_record, one_line
from gnome_torch.data.rejects import Reject

CRYSTAL = (
    "last_modified",
    "structure_features",
    "lattice_vectors",
    "dimension_types",
    "nperiodic_dimensions",
    "cartesian_site_positions",
    "nsites",
    "species",
    "species_at_sites",
)
NOT_A_CRYSTAL = frozenset({"disorder", "implicit_atoms", "site_attachments", "assemblies"})
"""Features of structures (OPTIMADE 1.2, section structure_features) whose sites are not the whole of one crystal."""

ATTEMPTS = 4
WAIT = 2.0  # seconds before a failed page is asked for again, doubled each time


@dataclass(frozen=True)
class OptimadeSource:
    """The structures of a provider.

    Attributes:
        base_url: without the version, such as https://alexandria.icams.rub.de/pbe.
        energy: property with the energy, eV; a dotted path reaches into an object.
        filter: in OPTIMADE's language, such as `elements HAS ALL "Li","O"`; empty for everything.
        per_cell: energies are per cell, not per atom.
        kind: what they are measured from.
        page: crystals per request; None for the provider's own choice.
    """

    base_url: str
    energy: str
    filter: str = ""
    per_cell: bool = False
    kind: EnergyKind = EnergyKind.TOTAL
    page: int | None = None

    corrected = False
    unique_keys = True
    unchanging = False

    @property
    def potentials(self) -> str:
        """Known of the Materials Project alone."""
        host = urlsplit(self.base_url).hostname or ""
        if not host.endswith("materialsproject.org"):
            return ""
        return MaterialsProject((), "R2SCAN" if "r2scan" in self.energy.lower() else "GGA_GGA+U").potentials

    @property
    def name(self) -> str:
        """The provider's address."""
        return f"optimade:{self.base_url.rstrip('/')}"

    @property
    def identity(self) -> Mapping[str, object]:
        """The provider and the question."""
        return {
            "optimade": self.base_url.rstrip("/"),
            "energy": self.energy,
            "filter": self.filter,
            "per_cell": self.per_cell,
            "kind": self.kind.value,
        }

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """The pages from a position on, which is the address of a page; the first page for None.

        Raises:
            SourceError: the provider cannot be reached, refuses, or has no such energy.
        """
        client = self._client()
        if position is None:
            self._check_energy(client)
        # a position is the address of the page that comes next
        following = None if position is None else str(position)
        seen = 0
        while True:
            page = self._page(client, following)
            items = [self._item(some) for some in page.data]
            seen += len(items)
            total = page.meta.get("data_returned")
            link = page.links.get("next")
            following = link.get("href") if isinstance(link, Mapping) else link
            done = min(seen / total, 1.0) if total and position is None else None
            warnings = [one_line(RuntimeError(some.get("detail", ""))) for some in page.meta.get("warnings") or ()]
            # the last page is read again when an import that has ended is resumed: nothing comes of it
            yield Batch(items, following, done, tuple(warnings))
            if not following or not items:
                return

    def _client(self) -> Any:
        try:
            import requests
            from optimade.client import OptimadeClient
        except ImportError as error:
            raise SourceError(
                f"the OPTIMADE client is not installed ({error.name}): pip install 'gnome-torch[optimade]'"
            ) from None
        client = OptimadeClient(
            self.base_url, max_results_per_provider=0, use_async=False, http_client=requests.Session, silent=True
        )
        client._progress.console.quiet = True  # it prints errors all the same, which we raise
        return client

    def _check_energy(self, client: Any) -> None:
        """Make sure that the provider serves the property.

        Raises:
            SourceError: it does not, or does not answer.
        """
        found = client.get_one("info/structures", "", self.base_url, paginate=False)[self.base_url]
        if found.errors or not isinstance(found.data, Mapping):
            reason = one_line(RuntimeError("; ".join(map(str, found.errors)) or "no OPTIMADE server"))
            raise SourceError(f"{self.base_url} does not answer: {reason}")
        served = list(found.data.get("properties", {}))
        name = self.energy.split(".")[0]
        if served and name not in served:
            own = sorted(some for some in served if some.startswith("_")) or sorted(served)
            raise SourceError(f"{self.base_url} serves no property {name!r}; its own are {', '.join(own)}")

    def _page(self, client: Any, address: str | None) -> Any:
        """One page, asked for again when the provider is busy.

        Raises:
            SourceError: the provider does not answer, or refuses the question.
        """
        wait = WAIT
        for attempt in range(1, ATTEMPTS + 1):
            # the client keeps nothing between questions but its own bar of progress, which it does not show
            with suppress(KeyError):
                client.all_results.clear()
            found = client.get_one(
                "structures",
                self.filter,
                self.base_url,
                response_fields=[*CRYSTAL, self.energy.split(".")[0]],
                page_limit=self.page,
                paginate=False,
                override_url=address,
            )[self.base_url]
            if not found.errors:
                return found
            if attempt < ATTEMPTS and not _refused(found.errors):
                time.sleep(wait)
                wait *= 2
                continue
            break
        raise SourceError(f"{self.base_url}: {'; '.join(map(str, found.errors))}; run it again to go on from there")

    def _item(self, data: Mapping[str, Any]) -> OutsideRecord | Reject:
        key = str(data.get("id") or "")
        try:
            if not key:
                raise ValueError("it has no id")
            if incomplete := sorted(NOT_A_CRYSTAL.intersection(data["attributes"].get("structure_features") or ())):
                raise ValueError(f"it has {', '.join(incomplete)}, so its sites are not those of one ordered crystal")
            energy = _value(data["attributes"], self.energy)
            structure = _crystal(data)
            return crystal_record(key, structure, energy / (len(structure) if self.per_cell else 1), self.kind)
        except Exception as error:  # whatever a broken record makes optimade and pymatgen raise
            return Reject(self.name, key, "", one_line(error))


def _refused(errors: Sequence[object]) -> bool:
    """Whether asking again is of no use: the question is wrong."""
    return any(f"RuntimeError: {status} " in str(error) for error in errors for status in (400, 401, 403, 404, 422))


def _value(attributes: Mapping[str, object], path: str) -> float:
    value: object = attributes
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path} is {value!r}, no energy")
    return float(value)


def _crystal(data: Mapping[str, Any]) -> Structure:
    """The crystal of a record.

    Raises:
        ValueError: it is no crystal (a molecule, say).
        Exception: what the models of `optimade` refuse.
    """
    from optimade.adapters import Structure as Adapter

    structure = Adapter(dict(data)).as_pymatgen
    if not isinstance(structure, Structure) or not all(structure.lattice.pbc):
        raise ValueError("not periodic in three dimensions")
    return structure
