"""Licences by the name of a source, by an address, and as a provider states them."""

from __future__ import annotations

import pytest

from gnome_torch.data.origins import NOT_STATED, forbids_commerce, known_origin, licence_at, licence_of


@pytest.mark.parametrize(
    ("source", "title", "licence"),
    [
        ("gnome", "GNoME (Google DeepMind)", "CC BY-NC 4.0"),
        ("materials-project:R2SCAN", "the Materials Project", "CC BY 4.0"),
        ("optimade:https://oqmd.org/optimade", "the Open Quantum Materials Database", "CC BY 4.0"),
        ("optimade:https://optimade.materialsproject.org", "the Materials Project", "CC BY 4.0"),
        ("optimade:https://alexandria.icams.rub.de/pbe", "Alexandria", "CC BY 4.0"),
        ("optimade:https://notoqmd.org", "notoqmd.org", NOT_STATED),
        ("optimade:https://oqmd.org.example", "oqmd.org.example", NOT_STATED),
        ("file:gnome", "gnome", NOT_STATED),
    ],
)
def test_sources_that_are_known(source: str, title: str, licence: str) -> None:
    assert (known_origin(source).title, known_origin(source).licence) == (title, licence)
    assert licence_of({"source": source}) == licence  # an entry of a database of before licences were kept
    assert licence_of({"source": source, "licence": "CC0-1.0"}) == "CC0-1.0"


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [
        ("CC BY-NC 4.0", True),
        ("CC-BY-NC-SA-4.0", True),
        ("Non-commercial use only", True),
        ("CC BY 4.0", False),
        ("CC0-1.0", False),
        ("NCSA", False),
        (NOT_STATED, False),
    ],
)
def test_commerce(licence: str, forbids: bool) -> None:
    assert forbids_commerce(licence) == forbids


@pytest.mark.parametrize(
    ("url", "licence"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC BY 4.0"),
        ("http://creativecommons.org/licenses/by-nc/4.0/legalcode", "CC BY-NC 4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC 0 1.0"),
        ("https://spdx.org/licenses/CC-BY-4.0", "CC-BY-4.0"),
        ("https://example.com/terms", ""),
        ("", ""),
    ],
)
def test_addresses_of_licences(url: str, licence: str) -> None:
    assert licence_at(url) == licence
