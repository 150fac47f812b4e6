"""Random structure searches: for each chosen formula crystals are made, relaxed roughly, and the best sent on."""

from __future__ import annotations

from typing import Any

from pymatgen.core import Structure

from gnome_torch.candidates.random_search.files import is_complete, plan_of, read_crystals, write_search
from gnome_torch.candidates.random_search.options import GeneratorMissingError, SearchError
from gnome_torch.candidates.random_search.pre_relaxed import (
    PreRelaxed,
    candidate_of,
    chosen_crystals,
    read_pre_relaxed,
    write_pre_relaxed,
)
from gnome_torch.candidates.random_search.search import RandomCrystal, generator_of, search
from gnome_torch.records import Prediction, Relaxation
from gnome_torch.stability.plausibility import implausible
from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import add_workflows
from workflows.campaign.pipelines import COMPOSITIONAL
from workflows.campaign.plan import search_workflow
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.ground.continuation import Stopped, StopRequested, never
from workflows.ground.failures import failure_of_parent, is_a_result
from workflows.relax import Theory
from workflows.store import SearchState
from workflows.store.base import Document


def launch_searches(campaign: Campaign, number: int) -> None:
    """Add a search for each composition that a round has selected, once."""
    with campaign.store.rounds.claim(campaign.name, number, COMPOSITIONAL.sent):
        waiting = campaign.store.searches.of_round(campaign.name, number, SearchState.SELECTED)
        add_workflows(campaign, [search_workflow(campaign.settings, number, d["formula"]) for d in waiting])


# ---- make crystals


def make_crystals(campaign: Campaign, number: int, formula: str) -> dict[str, Any]:
    """Draw the random crystals of a composition into the round's directory; those that are there stay.

    A composition for which there is none within the limits is a result too: its search ends with the reason.

    Raises:
        GeneratorMissingError: this worker cannot draw them, which says nothing about the composition.
    """
    directory, chosen = campaign.places(number).searches, campaign.settings.compositional.search
    if not is_complete(directory, formula):
        generator, options = generator_of(chosen.generator, chosen.time_limit), chosen.options(campaign.settings.seed)
        try:
            result = search(formula, options, generator)
        except GeneratorMissingError:
            raise
        except SearchError as error:
            campaign.store.searches.end(campaign.name, formula, SearchState.FAILED, reason=str(error))
            return {"crystals": 0, "reason": str(error)}
        write_search(result, directory, plan_of(formula, options, generator.name))
    return {"crystals": len(_crystals(campaign, number, formula))}


def _crystals(campaign: Campaign, number: int, formula: str) -> list[RandomCrystal]:
    """The crystals that a search has made."""
    return read_crystals(campaign.places(number).crystals(formula))


# ---- pre-relax them


def pre_relax_crystals(campaign: Campaign, number: int, formula: str, stopped: Stopped = never) -> dict[str, int]:
    """Relax all crystals of a search at a cheap theory, one after another; what has been done is not repeated.

    Args:
        campaign: whose.
        number: of the round.
        formula: of the search.
        stopped: looked at before each crystal.

    Raises:
        StopRequested: a signal has asked to stop.
    """
    places = campaign.places(number)
    done_with = campaign.store.searches.get(campaign.name, formula)["state"] == SearchState.SEARCHED
    if done_with or not is_complete(places.searches, formula) or (theory := campaign.search_theory) is None:
        return {}
    path = places.pre_relaxed(formula)
    done = {result.attempt for result in read_pre_relaxed(path)}
    for crystal in _crystals(campaign, number, formula):
        if crystal.attempt in done:
            continue
        if stopped():
            raise StopRequested(f"crystal {crystal.attempt}")
        write_pre_relaxed(pre_relax(crystal.structure, crystal.attempt, theory), path)
    results = read_pre_relaxed(path)
    failed = sum(result.relaxation is None for result in results)
    return {"pre_relaxed": len(results) - failed, "failed": failed}


def pre_relax(structure: Structure, attempt: int, theory: Theory) -> PreRelaxed:
    """Relax one random crystal at a cheap theory; a failure is a result.

    Raises:
        Exception: what says nothing about the crystal: memory, disk, installation.
    """
    try:
        relaxation = theory.relax(structure)
    except Exception as error:  # whatever a calculator stumbles over
        if not is_a_result(error):
            raise
        return PreRelaxed(attempt, None, f"{type(error).__name__}: {error}"[:500])
    # one that is not at rest yet is no failure: the campaign's theory goes on with it
    reason = implausible(Relaxation(relaxation.structure, relaxation.energy, converged=True))
    return PreRelaxed(attempt, None if reason else relaxation, reason or "")


# ---- record


def record_search(campaign: Campaign, number: int, formula: str, fw_id: int) -> SearchState:
    """End a search: its lowest crystals become candidates and are sent to relaxation; or it has failed, with a reason.

    Args:
        campaign: whose.
        number: of the round.
        formula: of the search.
        fw_id: the Firework that records it.

    Raises:
        RelaxationInterruptedError: it was stopped, and is to be run again.
    """
    searches, name = campaign.store.searches, campaign.name
    state = searches.get(name, formula)["state"]
    if state != SearchState.SEARCHED and is_complete(campaign.places(number).searches, formula):
        _select(campaign, number, formula, fw_id)  # one that has failed before may have crystals now
    elif state == SearchState.SELECTED:
        reason, directory = failure_of_parent(campaign.launchpad, fw_id, "no crystals were made")
        searches.end(name, formula, SearchState.FAILED, reason=reason, directory=directory)
    if searches.get(name, formula)["state"] == SearchState.SEARCHED:
        launch_relaxations(campaign, number, search=formula)
    return SearchState(searches.get(name, formula)["state"])


def _select(campaign: Campaign, number: int, formula: str, fw_id: int) -> None:
    """Make candidates of a search's lowest crystals, or of all where nothing is pre-relaxed."""
    name, searches = campaign.name, campaign.store.searches
    crystals = _crystals(campaign, number, formula)
    counts = {"crystals": len(crystals)}
    pre_relaxed, missing = None, ""
    if campaign.search_theory is not None:
        pre_relaxed = read_pre_relaxed(campaign.places(number).pre_relaxed(formula))
        if len(pre_relaxed) < len(crystals):  # its Firework fizzled: an interruption is raised, a failure goes on
            missing, _ = failure_of_parent(campaign.launchpad, fw_id, "not all were pre-relaxed")
        failed = sum(result.relaxation is None for result in pre_relaxed)
        counts |= {"pre_relaxed": len(pre_relaxed) - failed, "pre_relaxations_failed": failed}
    lowest = chosen_crystals(crystals, pre_relaxed, campaign.settings.compositional.search.relax_lowest)
    if not lowest:
        reasons = sorted({result.reason for result in pre_relaxed or ()}) or [missing]
        reason = f"no pre-relaxation finished: {reasons[0]}"[:500]
        searches.end(name, formula, SearchState.FAILED, counts=counts, reason=reason)
        return
    document = searches.get(name, formula)
    prediction, distance = _prediction(document)
    theory, seed = campaign.search_theory, campaign.settings.seed
    candidates = [
        (candidate_of(crystal, structure, seed, theory.id if theory else None), structure, prediction, distance)
        for crystal, structure in lowest
    ]
    campaign.store.candidates.select(name, number, candidates, document["model_id"], search=formula)
    searches.end(name, formula, SearchState.SEARCHED, counts={**counts, "relaxations": len(candidates)})


def _prediction(document: Document) -> tuple[Prediction, float]:
    """What was predicted of the composition of a search, and its distance to the hull, eV/atom."""
    fields = dict(document["prediction"])
    distance = float(fields.pop("e_above_hull"))
    return Prediction(**fields), distance
