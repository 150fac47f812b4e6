"""The pages of a question to a provider, as a source of energies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.materials_project import MaterialsProject
from gnome_torch.data.optimade.answers import MOST_WORDS, Provider
from gnome_torch.data.optimade.structures import FIELDS, crystal_of
from gnome_torch.data.origins import Origin, known_origin, licence_at
from gnome_torch.data.outside import Batch, OutsideRecord, Position, SourceError, crystal_record, one_line
from gnome_torch.data.rejects import Reject

EMPTY_PAGES = 10
"""So many in a row that lead to another are no answer to anything."""
LENGTHS = re.compile(r"(Å|angstroms?|ang)", re.IGNORECASE)
ENERGIES = re.compile(r"eV(\s*[/ ]\s*\{?(?P<per>atom|cell|formula.unit|unit.cell)s?\}?)?", re.IGNORECASE)


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

    @property
    def origin(self) -> Origin:
        """What the provider says of its licence (OPTIMADE 1.2, `/info`), or what is known of it otherwise."""
        known = known_origin(self.name)
        provider = Provider(self.base_url)
        try:
            answer = provider.ask(provider.address("info"))
        except SourceError:  # it need not have this; if it does not answer at all, the first page says so
            return known
        attributes = _mapping(_mapping(answer["data"]).get("attributes"))
        link = attributes.get("license")
        url = str(link.get("href") or "") if isinstance(link, Mapping) else str(link or "")
        names = attributes.get("available_licenses")
        licence = " or ".join(map(str, names)) if isinstance(names, list) else ""
        licence = licence or licence_at(url) or (f"see {url}" if url else known.licence)
        title = str(_mapping(_mapping(answer.get("meta")).get("provider")).get("name") or known.title)
        return Origin(title, self.base_url, licence[:MOST_WORDS], url or known.licence_url, known.citation)

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """The pages from a position on, which is the address of a page; the first page for None.

        Raises:
            SourceError: the provider cannot be reached, refuses, has no such energy or one of other units, or leads
                from page to page without end.
        """
        provider = Provider(self.base_url)
        if position is None:
            self._check_properties(provider)
        address = str(position) if position is not None else self._first_page(provider)
        seen, empty, pages = 0, 0, set[int]()
        while True:
            answer = provider.ask(address)
            data = answer["data"] if isinstance(answer["data"], list) else []
            meta = _mapping(answer.get("meta"))
            items = self._items(data)
            seen, empty = seen + len(items), 0 if items else empty + 1
            following = provider.next_page(answer, address)
            total = meta.get("data_returned") if position is None else None
            warnings = _warnings(meta)
            if following is None and meta.get("more_data_available") is True:
                warnings += (f"it announces more than the {seen:,} records it gave, and names no next page",)
            done = min(seen / total, 1.0) if isinstance(total, int) and total > 0 else None
            # the last page is read again when an import that has ended is resumed: nothing comes of it
            yield Batch(items, following, done, warnings)
            if following is None:
                return
            content = hash(tuple(sorted(str(some.get("id")) for some in data if isinstance(some, Mapping))))
            if following == address or empty == EMPTY_PAGES or (items and content in pages):
                raise SourceError(f"{self.base_url}: its pages go round in a circle, at {following[:MOST_WORDS]}")
            pages.add(content)
            address = following

    def _first_page(self, provider: Provider) -> str:
        fields = ",".join((*FIELDS, self.energy.split(".")[0]))
        return provider.address("structures", filter=self.filter, response_fields=fields, page_limit=self.page)

    def _check_properties(self, provider: Provider) -> None:
        """Make sure that the provider serves the energy, and in which units what is read.

        Raises:
            SourceError: it does not, does not answer, or serves other units than angstrom and eV.
        """
        served = _mapping(_mapping(provider.ask(provider.address("info/structures"))["data"]).get("properties"))
        if not served:
            return
        name = self.energy.split(".")[0]
        if name not in served:
            own = sorted(some for some in served if some.startswith("_")) or sorted(served)
            raise SourceError(f"{self.base_url} serves no property {name!r}; its own are {', '.join(own)}")
        for length in ("lattice_vectors", "cartesian_site_positions"):
            if (unit := _unit(served.get(length))) and not LENGTHS.fullmatch(unit):
                raise SourceError(f"{self.base_url} serves {length} in {unit!r}: only angstrom is read")
        if unit := _unit(served[name] if name == self.energy else None):
            self._check_energy(unit)

    def _check_energy(self, unit: str) -> None:
        """Refuse an energy whose unit is another than what the question says it is."""
        match = ENERGIES.fullmatch(unit)
        if match is None:
            raise SourceError(f"{self.base_url} serves {self.energy} in {unit!r}: only eV is read")
        per = (match["per"] or "").lower()
        if per == "atom" and self.per_cell:
            raise SourceError(f"{self.base_url} serves {self.energy} in {unit!r}: leave --per-cell out")
        if per in ("cell", "unit cell", "unit-cell", "unit_cell") and not self.per_cell:
            raise SourceError(f"{self.base_url} serves {self.energy} in {unit!r}: say --per-cell")
        if per.startswith("formula"):
            raise SourceError(f"{self.base_url} serves {self.energy} in {unit!r}: per atom or per cell is read")

    def _items(self, data: list[Any]) -> list[OutsideRecord | Reject]:
        """The records of a page; what has the name of one before is none."""
        items: list[OutsideRecord | Reject] = []
        names = set()
        for some in data:
            item = self._item(some)
            key = item.key if isinstance(item, OutsideRecord) else item.place
            if key and key in names:
                item = Reject(self.name, key, "", "its id stands on this page twice")
            names.add(key)
            items.append(item)
        return items

    def _item(self, data: Any) -> OutsideRecord | Reject:
        key = str(data.get("id") or "") if isinstance(data, Mapping) else ""
        try:
            if not key:
                raise ValueError("it has no id")
            if data.get("type", "structures") != "structures":
                raise ValueError(f"it is of type {data['type']!r}, no structure")
            attributes = data.get("attributes")
            if not isinstance(attributes, Mapping):
                raise ValueError("it has no attributes")
            energy = _value(attributes, self.energy)
            crystal = crystal_of(attributes)
            return crystal_record(key, crystal, energy / (len(crystal) if self.per_cell else 1), self.kind)
        except Exception as error:  # whatever a broken record makes pymatgen raise
            return Reject(self.name, key, "", one_line(error))


def _mapping(value: Any) -> Mapping[str, Any]:
    """An object of an answer, empty where it is none."""
    return value if isinstance(value, Mapping) else {}


def _warnings(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """What a provider warns of, in lines."""
    warnings = meta.get("warnings")
    found = warnings if isinstance(warnings, list) else []
    details = [some.get("detail") or some.get("title") for some in found if isinstance(some, Mapping)]
    return tuple(" ".join(str(detail).split())[:MOST_WORDS] for detail in details if detail)


def _unit(definition: Any) -> str:
    """The unit of a property, as OPTIMADE 1.0 or 1.2 writes it; "" where there is none."""
    if not isinstance(definition, Mapping):
        return ""
    unit = str(definition.get("x-optimade-unit") or definition.get("unit") or "").strip()
    return "" if unit in ("inapplicable", "dimensionless") else unit


def _value(attributes: Mapping[str, object], path: str) -> float:
    value: object = attributes
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path} is {str(value)[:60]}, no energy")
    return float(value)
