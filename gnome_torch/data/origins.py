"""Where data come from, under which licence they may be used, and what to cite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

NOT_STATED = "not stated"
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/([\d.]+)")


@dataclass(frozen=True)
class Origin:
    """Where data come from.

    Attributes:
        title: who has published them.
        url: where.
        licence: its name, "not stated" where nobody says.
        licence_url: of its text, or of the terms of use.
        citation: what the publishers ask to cite.
    """

    title: str
    url: str = ""
    licence: str = NOT_STATED
    licence_url: str = ""
    citation: str = ""


def forbids_commerce(licence: str) -> bool:
    """Whether a licence is one for non-commercial use alone, such as CC BY-NC 4.0."""
    return re.search(r"\bNC\b|non-?commercial", licence, re.IGNORECASE) is not None


CC_BY = ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
CC_BY_NC = ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
MATERIALS_PROJECT = Origin(
    "the Materials Project",
    "https://materialsproject.org",
    *CC_BY,
    "A. Jain et al., APL Materials 1, 011002 (2013), doi:10.1063/1.4812323",
)
GNOME = Origin(
    "GNoME (Google DeepMind)",
    "https://github.com/google-deepmind/materials_discovery",
    *CC_BY_NC,
    "A. Merchant et al., Nature 624, 80 (2023), doi:10.1038/s41586-023-06735-9",
)
OQMD = Origin(
    "the Open Quantum Materials Database",
    "https://oqmd.org",
    *CC_BY,
    "S. Kirklin et al., npj Computational Materials 1, 15010 (2015), doi:10.1038/npjcompumats.2015.10",
)
ALEXANDRIA = Origin(
    "Alexandria",
    "https://alexandria.icams.rub.de",
    *CC_BY,
    "J. Schmidt et al., Advanced Materials 35, 2210788 (2023), doi:10.1002/adma.202210788",
)
HOSTS = {"materialsproject.org": MATERIALS_PROJECT, "oqmd.org": OQMD, "alexandria.icams.rub.de": ALEXANDRIA}
"""OPTIMADE providers whose licence is known, whether their server states it or not."""


def known_origin(source: str) -> Origin:
    """What is known of a source by its name alone: also of those that were imported before licences were kept.

    Args:
        source: its name, such as `gnome`, `materials-project:R2SCAN`, `optimade:https://oqmd.org`, `file:a.csv`.
    """
    kind, _, rest = source.partition(":")
    if kind == "gnome":
        return GNOME
    if kind == "materials-project":
        return MATERIALS_PROJECT
    if kind == "optimade":
        host = urlsplit(rest).hostname or ""
        found = next((origin for name, origin in HOSTS.items() if host == name or host.endswith(f".{name}")), None)
        return found or Origin(host or rest, rest)
    return Origin(rest or source)


def licence_of(outside: Mapping[str, Any]) -> str:
    """Licence of an imported entry: that which was kept with it, or what is known by the name of its source."""
    return str(outside.get("licence") or known_origin(str(outside["source"])).licence)


def licence_at(url: str) -> str:
    """Name of the licence that an address is of; "" where that does not tell."""
    if match := _CREATIVE_COMMONS.search(url.lower()):
        return f"CC {'0' if match[2] else match[1].upper()} {match[3]}"
    parts = urlsplit(url)
    return parts.path.rstrip("/").rpartition("/")[2] if parts.hostname == "spdx.org" else ""
