"""Numbers as options write them: a range such as 0.4-1.2, a distance such as O-O=1.3."""

from __future__ import annotations

import math
from collections.abc import Sequence


def between(text: str, option: str) -> tuple[float, float]:
    """Two numbers, from-to, or one for both.

    Raises:
        SearchError: the text says something else.
    """
    from gnome_torch.candidates.random_search.options import SearchError

    parts = text.split("-")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(math.isfinite(number) for number in numbers):
        raise SearchError(f"{option} {text}: write two numbers with a dash between them, such as 1-4")
    return numbers[0], numbers[-1]


def whole(text: str, option: str) -> tuple[int, int]:
    """Two whole numbers, likewise."""
    from gnome_torch.candidates.random_search.options import SearchError

    low, high = between(text, option)
    if low != int(low) or high != int(high):
        raise SearchError(f"{option} {text}: whole numbers only, such as 1-4")
    return int(low), int(high)


def distances(texts: Sequence[str]) -> dict[str, float]:
    """Distances by pair of elements.

    Raises:
        SearchError: a text says something else.
    """
    from gnome_torch.candidates.random_search.options import SearchError

    by_pair = {}
    for text in texts:
        pair, _, number = text.partition("=")
        try:
            by_pair[pair] = float(number)
        except ValueError:
            raise SearchError(f"--separation {text}: write a pair and a distance, such as O-O=1.3") from None
    return by_pair
