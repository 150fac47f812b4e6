"""The selection rule."""

from __future__ import annotations

import pytest

from gnome_torch.screening import Choice, select


def test_threshold_lowest_of_each_composition_and_order() -> None:
    formulas = ["MgO", "MgO", "Li2O", "LiO", "Al2O3"]
    predicted = [-2.90, -2.95, -2.00, -1.00, -3.49]
    hull = [-3.00, -3.00, -2.01, -1.30, -3.40]
    chosen = select(formulas, predicted, hull, threshold=0.05)
    assert [c.index for c in chosen] == [4, 2, 1]
    assert [c.distance for c in chosen] == pytest.approx([-0.09, 0.01, 0.05])
    assert select(formulas, predicted, hull, threshold=0.05, limit=1) == chosen[:1]


def test_the_threshold_itself_passes_and_ties_go_to_the_first() -> None:
    assert select(["A", "A"], [0.05, 0.05], [0.0, 0.0], threshold=0.05) == [Choice(0, 0.05)]
    assert select([], [], []) == []
    with pytest.raises(ValueError, match="zip"):
        select(["A"], [0.0, 1.0], [0.0])
