"""What is wrong with the loop, and its repair: lost runs, dead reservations, workflows that have not heard of an end.

Safe to run at any time and as often as one likes, from cron for instance. Nothing that SLURM still has in its queue or
runs is touched: SLURM is asked first, the database after it, so a job that has ended by then has ended for good.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import follow_state
from workflows.campaign.pipelines import COMPOSITIONAL, STRUCTURAL
from workflows.campaign.rounds import advance
from workflows.campaign.settings import SettingsError
from workflows.campaign.stages.rechecks import launch_rechecks
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.campaign.stages.results import recount
from workflows.campaign.stages.searches import launch_searches
from workflows.catalogue.hulls import renew
from workflows.catalogue.novelty import NEAR, join_mirror_images, judge
from workflows.catalogue.recorrections import recorrect
from workflows.catalogue.words import plural
from workflows.ground.failures import NOT_RESULTS, PASSING, reason_of
from workflows.operate.lost import Patience, Verdict
from workflows.store import CampaignState, CandidateState, SearchState, Store, StoreError
from workflows.store.base import Document
from workflows.store.collections.rounds import is_done
from workflows.store.launchpad import refresh_stale, rerun_lost

MAX_REPETITIONS = 3
"""Afterwards somebody has to look."""


@dataclass(frozen=True)
class Finding:
    """Something that was wrong.

    Attributes:
        what: it was, with the Fireworks or the campaign.
        done: what was done about it; empty where that is left to people.
        remedy: what people are to do.
    """

    what: str
    done: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.done or self.remedy}"


def examine(
    store: Store,
    launchpad: LaunchPad,
    slurm_jobs: Callable[[], Collection[str]] | None,
    patience: Patience,
    is_gone: Callable[[str], bool] = lambda job: True,
) -> list[Finding]:
    """Look at everything, and repair what can be.

    Args:
        store: the database.
        launchpad: the same database.
        slurm_jobs: ids of the jobs that wait or run; None where there is no SLURM to ask.
        patience: how long to wait.
        is_gone: asks SLURM about one job that is not among them.
    """
    asked = datetime.now(UTC)
    jobs: frozenset[str] | None = None
    found: list[Finding] = []
    if slurm_jobs is not None and store.fireworks.any_of_jobs():
        try:
            jobs = frozenset(slurm_jobs())
        except RuntimeError as error:
            found.append(Finding("SLURM cannot be asked", remedy=f"jobs in its queue are left alone ({error})"))
    verdict = Verdict(store, jobs, is_gone, asked, patience)
    found += _lost(store, launchpad, verdict, patience)
    if stale := refresh_stale(launchpad, patience.settled):
        found.append(Finding(f"Fireworks {_few(stale)} have ended, their workflows had not heard of it", "told"))
    states = {campaign["_id"]: CampaignState(campaign["state"]) for campaign in store.campaigns.all()}
    found += _failed(store, launchpad, {name for name, state in states.items() if state.has_ended})
    campaigns = [Campaign(store, launchpad, name) for name in states]
    for campaign in campaigns:
        if states[campaign.name] is CampaignState.RUNNING:
            found += _examine_campaign(campaign)
        else:  # what was run again, or told, above
            follow_state(campaign)
    return found + _novelty(store, campaigns) + _recounts(campaigns) + _corrections(store)


def _novelty(store: Store, campaigns: Collection[Campaign]) -> list[Finding]:
    """What earlier versions have said otherwise of what is new, or not at all."""
    found = []
    closed = {
        (campaign.name, row["number"])
        for campaign in campaigns
        for row in store.rounds.all(campaign.name)
        if row.get("result") and not row["result"].get("outstanding")
    }
    near = store.entries.documents_of(store.finds.uncompared(store.finds.near_hull(NEAR)), ("lineage",))
    overdue = [key for key, d in near.items() if (d["lineage"]["campaign"], d["lineage"]["round"]) in closed]
    if overdue:
        judge(store, overdue)
        found.append(
            Finding(
                f"{len(overdue)} {plural(len(overdue), 'crystal')} had not been compared with known ones", "compared"
            )
        )
    if joined := join_mirror_images(store):
        found.append(Finding(f"the two hands of {joined} {plural(joined, 'prototype')} were written apart", "joined"))
    if settled := store.finds.settle_compositions():
        found.append(Finding(f"{settled} entries said wrongly whether their composition is new", "mended"))
    return found


def _recounts(campaigns: Collection[Campaign]) -> list[Finding]:
    """Rounds that earlier versions closed, which did not say what was new on the hull."""
    found = []
    for campaign in campaigns:
        rounds = [document for document in campaign.store.rounds.all(campaign.name) if recount(campaign, document)]
        if rounds:
            numbers = ", ".join(str(document["number"]) for document in rounds)
            what = f"campaign '{campaign.name}': rounds {numbers} did not say what was new on the hull"
            found.append(Finding(what, "counted"))
    return found


def _corrections(store: Store) -> list[Finding]:
    """Corrections of another pymatgen, or that do not say of which, made anew; the hulls with them are renewed."""
    found = []
    for theory in sorted({row["theory"] for row in store.entries.theories()}):
        old = recorrect(store, theory)
        if old.renewed:
            renew(store, theory)
            what = f"theory {theory}: {old.renewed} corrections were of another pymatgen, or did not say of which"
            found.append(Finding(what, "made anew"))
        if old.refused:
            key, reason = next(iter(old.refused.items()))
            more = f" ({len(old.refused)} such entries)" if len(old.refused) > 1 else ""
            what = f"theory {theory}: entry {key} has an old correction, and gets no new one: {reason}{more}"
            found.append(Finding(what, remedy="compute it again, or delete it"))
        for source, reason in old.unclear.items():
            what = f"theory {theory}: {source}: {reason}"
            found.append(Finding(what, remedy="import it again under the name of another theory"))
    return found


def _lost(store: Store, launchpad: LaunchPad, verdict: Verdict, patience: Patience) -> list[Finding]:
    """Reservations whose job is gone, and runs whose worker is."""
    freed = []
    for fw_id, launch in store.fireworks.reserved():
        if verdict(launch):
            launchpad.cancel_reservation(launch["launch_id"])
            freed.append(fw_id)
    # a launch that has just been freed is not looked at again: its Firework is ready
    rerun = rerun_lost(launchpad, verdict, patience.unnamed)
    found = []
    if freed:
        found.append(Finding(f"Fireworks {_few(freed)} were reserved for jobs that are gone", "ready again"))
    if rerun:
        found.append(
            Finding(f"Fireworks {_few(rerun)} have lost their workers", "run again, from what they have saved")
        )
    if verdict.unknown:
        found.append(
            Finding(
                f"Fireworks {_few(sorted(set(verdict.unknown)))} belong to jobs of SLURM that we cannot ask about",
                remedy="left alone: run 'gnome doctor' where squeue answers, as the user who submitted them",
            )
        )
    return found


def _failed(store: Store, launchpad: LaunchPad, ended: Collection[str]) -> list[Finding]:
    """Fireworks that failed for a passing reason are run again; of the others it is said what to do.

    Args:
        store: the database.
        launchpad: the same database.
        ended: campaigns that have ended: nobody waits for what failed in them.
    """
    again, others = [], []
    for fw_id in store.fireworks.open_failures(sorted(ended)):
        reason = reason_of(launchpad, fw_id)
        archived = launchpad.get_fw_by_id(fw_id).archived_launches
        if reason.startswith(PASSING) and len(archived) < MAX_REPETITIONS:
            launchpad.rerun_fw(fw_id)  # and what came after it
            again.append(fw_id)
        else:
            others.append((fw_id, reason))
    found = [Finding(f"Fireworks {_few(again)} had failed for reasons that pass", "run again")] if again else []
    for fw_id, reason in others:
        firework = launchpad.get_fw_by_id(fw_id)
        told = firework.spec.get("_category") != "relax" or reason.startswith(NOT_RESULTS)
        if firework.state == "FIZZLED" and told:
            found.append(_for_people(firework, reason))
    return found


def _for_people(firework: Any, reason: str) -> Finding:
    directory = firework.launches[-1].launch_dir if firework.launches else "no directory"
    return Finding(
        f"Firework {firework.fw_id} '{firework.name}' failed: {reason[:300]} ({directory})",
        remedy=f"mend the cause, then: lpad rerun_fws -i {firework.fw_id}",
    )


def _examine_campaign(campaign: Campaign) -> list[Finding]:
    """Events that were lost, and crystals whose workflows are not there (deleted, or never written)."""
    store, name = campaign.store, campaign.name
    found = []
    try:
        _ = campaign.settings  # that this installation cannot read would be met half-way
        held = follow_state(campaign)
        before = store.fireworks.count_workflows(name)
        for document in store.rounds.all(name):
            _launch_missing(campaign, document)
        advance(campaign)
        added = store.fireworks.count_workflows(name) - before
    except (StoreError, SettingsError) as error:  # another installation, for instance
        return [Finding(f"campaign '{name}' cannot be looked at here", remedy=str(error))]
    if held:
        found.append(Finding(f"campaign '{name}' runs, and {held} of its Fireworks were paused", "go on"))
    if added:
        found.append(Finding(f"campaign '{name}' waited for workflows that were not there", f"{added} added"))
    dropped = store.fireworks.count_dropped(name)
    if dropped and (store.candidates.count_unended(name) or store.rechecks.tally(name).get(CandidateState.SELECTED)):
        found.append(
            Finding(
                f"campaign '{name}': {dropped} workflows are defused or archived",
                remedy="it waits for them: lpad reignite_wflows, or end it with 'gnome campaign stop'",
            )
        )
    return found


def _launch_missing(campaign: Campaign, document: Document) -> None:
    """Add the workflows of a round's crystals and searches that wait for none."""
    store, name, settings, number = campaign.store, campaign.name, campaign.settings, document["number"]

    def too_few(stage: str, waiting: int, each: int = 1) -> bool:
        there = store.fireworks.count_alive(name, number, stage, limit=waiting)
        return there * each < waiting

    waiting = store.searches.count(name, number, SearchState.SELECTED) if is_done(document, COMPOSITIONAL.sent) else 0
    if waiting and too_few("search", waiting):
        launch_searches(campaign, number)
    if settings.recheck is not None and is_done(document, "rechecks"):
        again = sum(d["after_round"] == number for d in store.rechecks.waiting(name))
        if again and too_few("recheck", again):
            launch_rechecks(campaign, number)
    waiting = store.candidates.count(name, number, [CandidateState.SELECTED])
    if waiting and too_few("relax", waiting, settings.relaxations.per_firework):
        for step in document.get("claims", {}):
            if not is_done(document, step):
                continue
            if step == STRUCTURAL.sent:
                launch_relaxations(campaign, number)
            elif step.startswith("search "):
                launch_relaxations(campaign, number, search=step.removeprefix("search "))


def _few(ids: Collection[int]) -> str:
    """Numbers of Fireworks, the first ten."""
    shown = ", ".join(map(str, list(ids)[:10]))
    return shown if len(ids) <= 10 else f"{shown} and {len(ids) - 10} more"
