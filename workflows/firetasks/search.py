"""The search for the crystals of one composition: make them, pre-relax them, send the best to relaxation."""

from __future__ import annotations

from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize
from pymatgen.core import Structure

from gnome_torch.candidates.random_search.files import is_complete, plan_of, write_search
from gnome_torch.candidates.random_search.options import GeneratorMissingError, SearchError
from gnome_torch.candidates.random_search.pre_relaxed import (
    PreRelaxed,
    candidate_of,
    chosen_crystals,
    read_pre_relaxed,
    write_pre_relaxed,
)
from gnome_torch.candidates.random_search.search import generator_of, search
from gnome_torch.records import Relaxation
from gnome_torch.stability.plausibility import implausible
from workflows.campaign.begin import advance
from workflows.campaign.campaign import campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.campaign.stages.searches import (
    crystals_of,
    pre_relaxed_path,
    prediction_of,
    search_directory,
)
from workflows.firetasks.record import failure_of_parent, is_a_result
from workflows.ground.continuation import go_on, watch
from workflows.relax import Theory, theory
from workflows.store import Store


@explicit_serialize
class MakeCrystals(FiretaskBase):
    """Draw the random crystals of a composition into the round's directory; those that are there stay.

    A composition for which there is none within the limits is a result too: its search ends with the reason.

    Required parameters:
        campaign: name.
        round: number.
        formula: reduced formula.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number, formula = self["campaign"], self["round"], self["formula"]
        settings = campaign_settings(store, name)
        directory, chosen = search_directory(settings, number), settings.compositional.search
        if not is_complete(directory, formula):
            generator, options = generator_of(chosen.generator, chosen.time_limit), chosen.options(settings.seed)
            try:
                result = search(formula, options, generator)
            except GeneratorMissingError:
                raise  # says nothing about the composition
            except SearchError as error:
                store.searches.end(name, formula, "failed", reason=str(error))
                return FWAction(stored_data={"crystals": 0, "reason": str(error)})
            write_search(result, directory, plan_of(formula, options, generator.name))
        return FWAction(stored_data={"crystals": len(crystals_of(settings, number, formula))})


@explicit_serialize
class PrerelaxCrystals(FiretaskBase):
    """Relax all crystals of a search at a cheap theory, one after another; what has been done before is not repeated.

    Required parameters: as `MakeCrystals`.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number, formula = self["campaign"], self["round"], self["formula"]
        settings = campaign_settings(store, name)
        prerelax = settings.compositional.search.prerelax
        done_with = store.searches.get(name, formula)["state"] == "searched"
        if prerelax is None or done_with or not is_complete(search_directory(settings, number), formula):
            return FWAction()
        cheap, path = theory(prerelax), pre_relaxed_path(settings, number, formula)
        done = {result.attempt for result in read_pre_relaxed(path)}
        with watch() as stopped:
            for crystal in crystals_of(settings, number, formula):
                if crystal.attempt in done:
                    continue
                if stopped():
                    title = f"{name}: search {formula}: pre-relax, goes on"
                    return go_on(self, fw_spec, title, f"crystal {crystal.attempt}")
                write_pre_relaxed(pre_relax(crystal.structure, crystal.attempt, cheap), path)
        results = read_pre_relaxed(path)
        failed = sum(result.relaxation is None for result in results)
        return FWAction(stored_data={"pre_relaxed": len(results) - failed, "failed": failed})


def pre_relax(structure: Structure, attempt: int, cheap: Theory) -> PreRelaxed:
    """Relax one random crystal at a cheap theory; a failure is a result.

    Raises:
        Exception: what says nothing about the crystal: memory, disk, installation.
    """
    try:
        relaxation = cheap.relax(structure)
    except Exception as error:  # whatever a calculator stumbles over
        if not is_a_result(error):
            raise
        return PreRelaxed(attempt, None, f"{type(error).__name__}: {error}"[:500])
    # one that is not at rest yet is no failure: the campaign's theory goes on with it
    reason = implausible(Relaxation(relaxation.structure, relaxation.energy, converged=True))
    return PreRelaxed(attempt, None if reason else relaxation, reason or "")


@explicit_serialize
class RecordSearch(FiretaskBase):
    """End a search: its lowest crystals become candidates and are sent to relaxation; or it has failed, with a reason.

    Required parameters: as `MakeCrystals`.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number, formula = self["campaign"], self["round"], self["formula"]
        settings = campaign_settings(store, name)
        state = store.searches.get(name, formula)["state"]
        if state != "searched" and is_complete(search_directory(settings, number), formula):
            self._select(store, settings)  # one that has failed before may have crystals now
        elif state == "selected":
            reason, directory = failure_of_parent(self.launchpad, self.fw_id, "no crystals were made")
            store.searches.end(name, formula, "failed", reason=reason, directory=directory)
        if store.searches.get(name, formula)["state"] == "searched":
            launch_relaxations(store, self.launchpad, name, number, search=formula)
        advance(store, self.launchpad, name)
        return FWAction(stored_data={"formula": formula, "state": store.searches.get(name, formula)["state"]})

    def _select(self, store: Store, settings: CampaignSettings) -> None:
        name, number, formula = self["campaign"], self["round"], self["formula"]
        chosen = settings.compositional.search
        crystals = crystals_of(settings, number, formula)
        counts = {"crystals": len(crystals)}
        pre_relaxed, cheap, missing = None, None, ""
        if chosen.prerelax is not None:
            cheap = theory(chosen.prerelax).id
            pre_relaxed = read_pre_relaxed(pre_relaxed_path(settings, number, formula))
            if len(pre_relaxed) < len(crystals):  # its Firework fizzled: an interruption is raised, a failure goes on
                missing, _ = failure_of_parent(self.launchpad, self.fw_id, "not all were pre-relaxed")
            failed = sum(result.relaxation is None for result in pre_relaxed)
            counts |= {"pre_relaxed": len(pre_relaxed) - failed, "pre_relaxations_failed": failed}
        lowest = chosen_crystals(crystals, pre_relaxed, chosen.relax_lowest)
        if not lowest:
            reasons = sorted({result.reason for result in pre_relaxed or ()}) or [missing]
            store.searches.end(
                name, formula, "failed", counts=counts, reason=f"no pre-relaxation finished: {reasons[0]}"[:500]
            )
            return
        search_document = store.searches.get(name, formula)
        prediction, distance = prediction_of(search_document)
        candidates = [
            (candidate_of(crystal, structure, settings.seed, cheap), structure, prediction, distance)
            for crystal, structure in lowest
        ]
        store.candidates.select(name, number, candidates, search_document["model_id"], search=formula)
        store.searches.end(name, formula, "searched", counts={**counts, "relaxations": len(candidates)})
