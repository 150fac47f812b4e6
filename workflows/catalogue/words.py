"""Words for messages and pages."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """A noun as it stands behind a number."""
    return noun if number == 1 else f"{noun}s"
