"""Computed entries of the Materials Project, through its own client, `mp-api`.

First the names of the materials, then their entries some hundred at a time in the order of the names, so that an import
which was stopped goes on behind the last name. The key to the interface is read from `MP_API_KEY`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from pymatgen.core import SETTINGS

from gnome_torch.data.energy_files import entry_record
from gnome_torch.data.origins import CC_BY_NC, MATERIALS_PROJECT
from gnome_torch.data.outside import Batch, OutsideRecord, Position, SourceError, one_line
from gnome_torch.data.rejects import Reject

MATERIALS_AT_ONCE = 200
SYSTEMS_AT_ONCE = 100
MAX_ELEMENTS = 12  # 4,095 chemical systems; beyond, everything is asked for
KEY_HELP = "set MP_API_KEY to your key (materialsproject.org/api)"

ThermoType = Literal["GGA_GGA+U", "R2SCAN"]


@dataclass(frozen=True)
class MaterialsProject:
    """The entries of one functional.

    The mixture of both that the Project offers too is left out: energies of different theories must not meet.

    Attributes:
        elements: chemical systems within these; none for all materials.
        thermo_type: "GGA_GGA+U" (PBE, corrections of MP2020 beside the energies) or "R2SCAN".
    """

    elements: Sequence[str] = ()
    thermo_type: ThermoType = "GGA_GGA+U"

    origin = MATERIALS_PROJECT
    corrected = True
    unique_keys = True
    unchanging = True

    @property
    def potentials(self) -> str:
        """Of MPRelaxSet and of MPScanRelaxSet."""
        return "PBE" if self.thermo_type == "GGA_GGA+U" else "PBE_54"

    @property
    def name(self) -> str:
        """The Project and the functional."""
        return f"materials-project:{self.thermo_type}"

    @property
    def identity(self) -> Mapping[str, object]:
        """The question, and the version of the database that answers it."""
        with self._client() as client:
            version = client.db_version
        return {"elements": sorted(self.elements), "thermo_type": self.thermo_type, "version": version}

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """The entries of the materials after a position, which is a material's name; they come in the order of names.

        Raises:
            SourceError: the Project cannot be reached, or refuses.
        """
        with self._client() as client:
            names = self._names(client)
            start = sum(name <= str(position) for name in names) if position is not None else 0
            for at in range(start, len(names), MATERIALS_AT_ONCE):
                some = names[at : at + MATERIALS_AT_ONCE]
                documents = self._search(client, material_ids=some, fields=["material_id", "entries", "builder_meta"])
                found = sorted(documents, key=lambda document: str(document.get("material_id")))
                items = [item for document in found for item in self._items(document)]
                yield Batch(items, some[-1], (at + len(some)) / len(names))

    def _client(self) -> Any:
        try:
            from mp_api.client import MPRester
        except ImportError as error:
            raise SourceError(f"mp-api is not installed ({error.name}): pip install 'gnome-torch[mp]'") from None
        if not (os.environ.get("MP_API_KEY") or SETTINGS.get("PMG_MAPI_KEY")):
            raise SourceError(f"the Materials Project wants a key: {KEY_HELP}")
        try:
            return MPRester(use_document_model=False, mute_progress_bars=True)
        except Exception as error:  # no key, no network, a server that answers with something else
            raise SourceError(f"the Materials Project: {one_line(error)}: {KEY_HELP}") from error

    def _names(self, client: Any) -> list[str]:
        """Names of the materials, in their order."""
        questions: list[dict[str, Any]] = [
            {"num_elements": (1, 100)}
        ]  # a question without a limit is answered elsewhere
        if 0 < len(self.elements) <= MAX_ELEMENTS:
            systems = [
                "-".join(some)
                for n in range(1, len(self.elements) + 1)
                for some in combinations(sorted(self.elements), n)
            ]
            questions = [
                {"chemsys": systems[start : start + SYSTEMS_AT_ONCE]}
                for start in range(0, len(systems), SYSTEMS_AT_ONCE)
            ]
        names = set()
        for question in questions:
            for document in self._search(client, **question, fields=["material_id", "elements"]):
                inside = not self.elements or set(self.elements).issuperset(map(str, document.get("elements") or ()))
                if inside:
                    names.add(str(document["material_id"]))
        return sorted(names)

    def _search(self, client: Any, **question: Any) -> list[dict[str, Any]]:
        try:
            return list(client.materials.thermo.search(thermo_types=[self.thermo_type], all_fields=False, **question))
        except Exception as error:  # the client's own, requests' and JSON's
            raise SourceError(
                f"the Materials Project: {one_line(error)}; run it again to go on from there ({KEY_HELP})"
            ) from error

    def _items(self, document: Mapping[str, Any]) -> list[OutsideRecord | Reject]:
        name = str(document.get("material_id"))
        entries = document.get("entries") or {}
        # what the Project has taken over from GNoME, for those who have accepted its terms
        theirs = (document.get("builder_meta") or {}).get("license") == "BY-NC"
        items: list[OutsideRecord | Reject] = []
        for run_type, item in sorted(entries.items()):
            key = f"{name}-{run_type}"
            try:
                items.append(replace(entry_record(item, key), licence=CC_BY_NC[0] if theirs else ""))
            except Exception as error:  # whatever a broken entry makes pymatgen raise
                items.append(Reject(self.name, key, "", one_line(error)))
        return items or [Reject(self.name, name, "", "no entry in it")]
