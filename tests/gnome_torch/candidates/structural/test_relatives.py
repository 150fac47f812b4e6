"""Which of all known crystals are worth substituting in."""

from __future__ import annotations

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.structural.relatives import relatives
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from gnome_torch.records import KnownCrystal

POLICY = ElementPolicy(frozenset({"K", "Mg", "F"}))


def chosen(known: list[KnownCrystal], most: int = 10, threshold: float = 0.001) -> list[str]:
    return relatives(known, POLICY, SubstitutionRules(threshold), most)


def test_what_fits_is_judged_by_the_elements() -> None:
    known = [
        KnownCrystal("rb", "RbMgF3", "perovskite", 0.0),
        KnownCrystal("nickel", "KNiF3", "perovskite", 0.0),
        KnownCrystal("alloy", "HfCoSn", "half-Heusler", 0.0),
        KnownCrystal("arsenide", "LaFe4As12", "skutterudite", 0.0),
    ]
    assert set(chosen(known)) == {"rb", "nickel"}
    assert set(chosen(known, threshold=1e-12)) == {"rb", "nickel", "alloy", "arsenide"}


def test_one_of_each_prototype_first_and_the_nearest_to_its_hull() -> None:
    known = [
        KnownCrystal("a", "RbMgF3", "perovskite", 0.0),
        KnownCrystal("b", "RbMgF3", "perovskite", 0.02),
        KnownCrystal("c", "Rb2MgF4", "layered", 0.05),
        KnownCrystal("d", "NaMgF3", "tilted", 0.09),
        KnownCrystal("e", "RbMgF3", "perovskite", 0.01),
    ]
    assert chosen(known) == ["a", "c", "d", "e", "b"]
    assert chosen(known, most=3) == ["a", "c", "d"]
    assert chosen(known[::-1]) == chosen(known)
    # at one distance the elements decide: potassium stays
    like = [KnownCrystal("x", "RbMgF3", "perovskite", 0.0), KnownCrystal("y", "KMgF3", "perovskite", 0.0)]
    assert chosen(like, most=1) == ["y"]
    assert chosen([]) == []
