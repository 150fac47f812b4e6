"""A campaign: how it begins, how its rounds follow one another, how it ends.

The rounds move on events. The Firework that records a relaxation counts what has ended, and whichever sees the
threshold crossed adds the next round's workflow, once:

    close -> train (a Firework per member) -> evaluate \\
          -> generate ---------------------------------> screen -> relaxations of the next round
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from fireworks import Firework, LaunchPad, Workflow
from pymatgen.core import Structure

from gnome_torch.candidates.decoration import decorations, elemental_crystals, own_crystals
from gnome_torch.candidates.pool import check_pool, source_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.tables.shards import ShardError
from gnome_torch.data.files import read_structures
from gnome_torch.plugins import PluginError
from gnome_torch.records import Candidate, structure_key
from workflows.campaign.campaign import PRIORITY, campaign_settings
from workflows.campaign.settings import CampaignSettings, SettingsError, parse_settings
from workflows.campaign.stages.relaxations import LAUNCHED, launch_relaxations
from workflows.operate.control import add_workflows
from workflows.relax import theory
from workflows.store import ENDED, CampaignExistsError, NetworkKind, Store, StoreError, now, utc
from workflows.store.launchpad import start_firework

MARK = "campaign.json"  # in a campaign's directory: whose it is


def start_workflow(settings: CampaignSettings) -> Workflow:
    """The workflow that `lpad add` reads from a campaign file, under a key by which it is added once."""
    from workflows.firetasks.start import StartCampaign

    spec = {"_category": "control", "_priority": PRIORITY["control"], "_add_launchpad_and_fw_id": True}
    name = f"{settings.name}: start"
    firework = Firework(StartCampaign(), spec={**spec, "campaign": settings.model_dump(mode="json")}, name=name)
    metadata = {"campaign": settings.name, "round": 0, "stage": "start", "gnome_key": f"start/{settings.name}"}
    return Workflow([firework], name=name, metadata=metadata)


def register(store: Store, settings: CampaignSettings) -> None:
    """Reserve a campaign's name and its directory, after everything that can be checked has been.

    Raises:
        CampaignExistsError: the name is taken.
        SettingsError: the theory is not installed, the seeds, the pool or the source cannot be used, or the directory
            cannot be had.
    """
    store.campaigns.check_name_is_free(settings.name)
    level = theory(settings.theory)
    for other in (settings.prerelax, settings.compositional.search.prerelax):
        if other is not None:
            theory(other)
    if settings.recheck is not None and theory(settings.recheck.theory).id == level.id:
        raise SettingsError("recheck.theory: it is the campaign's own: name another, or leave 'recheck' out")
    if settings.seeds.source != "prototypes":
        list(first_crystals(settings))
    if settings.structural.pool is not None:
        try:
            check_pool(Path(settings.structural.pool))
        except ShardError as error:
            raise SettingsError(f"structural.pool: {error}") from None
    if settings.structural.source is not None:
        try:
            source_of(settings.structural.source)
        except PluginError as error:
            raise SettingsError(f"structural.source: {error}") from None
    _check_directory_is_free(settings.root, settings.name)
    store.prepare()
    uid = uuid4().hex
    store.campaigns.create(
        settings.name, settings.model_dump(mode="json"), level.id, level.scheme.value, str(settings.root), uid
    )
    _mark_directory(settings.root, settings.name, uid)


def _check_directory_is_free(directory: Path, name: str) -> None:
    """Two campaigns in one directory would train on each other's data."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"directory {directory} cannot be made ({error.strerror}): set 'directory'") from None
    if (directory / MARK).exists():
        owner = json.loads((directory / MARK).read_text()).get("name", "another")
        raise SettingsError(
            f"directory {directory} holds the files of campaign '{owner}' of this or another database: "
            f"remove it if they are not needed, or set 'directory', or rename campaign '{name}'"
        )


def _mark_directory(directory: Path, name: str, uid: str) -> None:
    (directory / MARK).write_text(json.dumps({"name": name, "uid": uid}) + "\n")


def adopt(store: Store, launchpad: LaunchPad, name: str) -> None:
    """Register a campaign that came by `lpad add` and that no worker has started yet; nothing for any other.

    Raises:
        StoreError: there is no such campaign, or its start failed; the message says why.
        SettingsError: its settings cannot be used.
    """
    found = None if store.campaigns.exists(name) else start_firework(launchpad, name)
    if found is not None:
        fw_id, data, reason = found
        if reason:
            raise StoreError(f"campaign '{name}' could not start: {reason} (Firework {fw_id})")
        register(store, parse_settings(data, f"Firework {fw_id}"))
    store.campaigns.get(name)


def begin(store: Store, launchpad: LaunchPad, settings: CampaignSettings) -> None:
    """Register the campaign if that is still to do, and send its first crystals to relaxation; safe to repeat.

    Raises:
        CampaignExistsError: another campaign has this name.
        SettingsError: as `register`.
    """
    try:
        register(store, settings)
    except CampaignExistsError:
        document = store.campaigns.get(settings.name)
        if parse_settings(document["settings"], f"campaign '{settings.name}'") != settings:
            raise
        _mark_directory(Path(document["directory"]), settings.name, document["uid"])
    store.rounds.open(settings.name, 0)
    if "selected" not in store.rounds.get(settings.name, 0).get("counts", {}):
        first = list(first_crystals(settings))
        chosen = [(candidate, structure, None, None) for candidate, structure in first]
        store.candidates.select(settings.name, 0, chosen, model_id=None)
        store.rounds.update(settings.name, 0, counts={"proposed": len(first), "selected": len(first)})
    launch_relaxations(store, launchpad, settings.name, 0)
    advance(store, launchpad, settings.name)


def first_crystals(settings: CampaignSettings) -> Iterable[tuple[Candidate, Structure]]:
    """The campaign's first data: elements in their known structures, and prototypes or the crystals of a file.

    Raises:
        SettingsError: the file holds no crystal of the campaign's elements.
    """
    library = prototypes()
    elements = settings.elements
    for candidate in elemental_crystals(elements, library, settings.seeds.references, settings.seeds.max_sites):
        yield candidate, candidate.structure(library[candidate.parent_id])
    if settings.seeds.source == "prototypes":
        chosen = decorations(library, settings.seed_policy(), settings.seeds.limit, settings.seeds.polymorphs)
        for candidate in chosen:
            yield candidate, candidate.structure(library[candidate.parent_id])
        return
    crystals = {
        f"file:{structure_key(structure)}": structure
        for structure in read_structures(settings.seeds.source)
        if set(elements).issuperset(element.symbol for element in structure.composition)
    }
    if not crystals:
        raise SettingsError(
            f"seeds.source {settings.seeds.source}: no crystal in it consists of {', '.join(elements)} alone"
        )
    for candidate in own_crystals(crystals):
        yield candidate, crystals[candidate.parent_id]


def advance(store: Store, launchpad: LaunchPad, name: str) -> None:
    """Add the workflow that follows a round, for every round of which enough has ended; once, whoever tries.

    Nothing follows in a campaign that is paused or has ended.
    """
    if store.campaigns.get(name)["state"] != "running":
        return
    settings = campaign_settings(store, name)
    rounds = store.rounds.all(name)
    for document in rounds:
        claims = document.get("claims", {})
        # a round that has been followed needs nothing more; only the latest is looked at again, in case its successor
        # was deleted (lpad reset)
        if (claims.get("next") or {}).get("done") and document is not rounds[-1]:
            continue
        launched = (LAUNCHED[pipeline] for pipeline in (settings.pipelines if document["number"] else ["structural"]))
        if all((claims.get(step) or {}).get("done") for step in launched) and _is_over(
            store, settings, document["number"]
        ):
            with store.rounds.claim(name, document["number"], "next"):
                add_workflows(store, launchpad, name, [round_workflow(settings, document["number"] + 1)])


def _is_over(store: Store, settings: CampaignSettings, number: int) -> bool:
    """Whether the next round may start: this one's share of relaxations has ended.

    The first data are waited for entirely (no hull without its elements), and so is everything, of whatever round,
    before the campaign ends: after the last round, and after one that chose nothing. A search that has not made its
    crystals yet stands for all the relaxations that it may bring. Time alone (`retrain.after_h`) is noticed when a
    relaxation ends, and by `gnome doctor`.
    """
    name = settings.name
    needs_all = number == 0 or number >= settings.rounds or settings.retrain.fraction == 1.0
    if (
        needs_all
        and store.candidates.any_waiting(name, number)
        and not (number and _has_waited(store, settings, number))
    ):
        return False  # as nearly always: without counting
    searching = store.searches.count(name, number, "selected")
    total = store.candidates.count(name, number) + searching * settings.compositional.search.relaxations
    if number >= settings.rounds or total == 0:
        # in this order: a search writes its candidates before it ends
        return store.searches.count(name, state="selected") == 0 and store.candidates.count_unended(name) == 0
    ended = store.candidates.count(name, number, ENDED)
    if number and ended and _has_waited(store, settings, number):
        return True
    fraction = settings.retrain.fraction if number else 1.0
    return ended >= math.ceil(fraction * total)


def _has_waited(store: Store, settings: CampaignSettings, number: int) -> bool:
    """Whether the relaxations of a round were sent so long ago that the next one is not to wait for more of them."""
    sent = store.rounds.get(settings.name, number).get("sent")
    after_h = settings.retrain.after_h
    return after_h is not None and sent is not None and utc(sent) + timedelta(hours=after_h) <= now()


def round_workflow(settings: CampaignSettings, number: int) -> Workflow:
    """Close round `number - 1`; unless it was the last: train, generate and screen for round `number`."""
    from workflows.firetasks.close import CloseRound

    name = settings.name
    close = _stage(settings, CloseRound(campaign=name, round=number - 1), "control", f"close round {number - 1}", [])
    fireworks = [close]
    if number <= settings.rounds:
        before: list[Firework] = []
        for pipeline in sorted(settings.pipelines, reverse=True):  # structural first: it knows what it chooses at once
            stages = _pipeline(settings, number, pipeline, close, before)
            fireworks += stages
            before = stages[-1:]
    return Workflow(
        fireworks,
        name=f"{name}: round {number}" if number <= settings.rounds else f"{name}: end",
        metadata={"campaign": name, "round": number, "stage": "round", "gnome_key": f"round/{name}/{number}"},
    )


def _pipeline(
    settings: CampaignSettings, number: int, pipeline: str, close: Firework, before: list[Firework]
) -> list[Firework]:
    """Train (a Firework per member) -> evaluate, and generate; then screen, which is the last.

    Args:
        settings: of the campaign.
        number: of the round.
        pipeline: which.
        close: what all of it waits for.
        before: screening that has to have chosen first, so that no composition is chosen twice.
    """
    from workflows.firetasks.compositions import GenerateCompositions, ScreenCompositions
    from workflows.firetasks.evaluate import EvaluateEnsemble
    from workflows.firetasks.generate import GenerateCandidates
    from workflows.firetasks.screen import ScreenCandidates
    from workflows.firetasks.train import TrainMember, members

    which = {"campaign": settings.name, "round": number}
    if pipeline == "structural":
        network, what, generator, screener = (
            NetworkKind.STRUCTURE,
            "",
            GenerateCandidates(**which),
            ScreenCandidates(**which),
        )
    else:
        network, what = NetworkKind.COMPOSITION, " compositions"
        generator, screener = GenerateCompositions(**which), ScreenCompositions(**which)
        which = {**which, "network": network}
    count = members(settings, network)
    trained = [
        _stage(
            settings,
            TrainMember(**which, member=member),
            "train",
            f"train {member + 1}/{count} for round {number}{what and ',' + what}",
            [close],
        )
        for member in range(count)
    ]
    evaluate = _stage(settings, EvaluateEnsemble(**which), "train", f"evaluate {number}{what}", trained)
    generate = _stage(settings, generator, "generate", f"generate {number}{what}", [close])
    screen = _stage(settings, screener, "screen", f"screen {number}{what}", [evaluate, generate, *before])
    return [*trained, evaluate, generate, screen]


def _stage(settings: CampaignSettings, task: Any, category: str, label: str, parents: list[Firework]) -> Firework:
    """The Firework of one stage."""
    spec = {"_category": category, "_priority": PRIORITY[category], "_add_launchpad_and_fw_id": True}
    return Firework(task, spec=spec, name=f"{settings.name}: {label}", parents=parents)
