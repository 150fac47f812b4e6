"""How a campaign begins: its name and directory are reserved, its first crystals are sent to relaxation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

from fireworks import LaunchPad
from pymatgen.core import Structure

from gnome_torch.candidates.decoration import decorations, elemental_crystals, own_crystals
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.pool import check_pool, source_of
from gnome_torch.candidates.tables.shards import ShardError
from gnome_torch.data.files import read_structures
from gnome_torch.data.rejects import Reject, keep_rejects
from gnome_torch.plugins import PluginError
from gnome_torch.records import Candidate, structure_key
from workflows.campaign.campaign import Campaign
from workflows.campaign.places import check_directory_is_free, mark_directory, seed_rejects_of
from workflows.campaign.rounds import advance
from workflows.campaign.settings import CampaignSettings, SettingsError, parse_settings
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.catalogue.imports.potentials import mixed_release
from workflows.relax import Theory, theory
from workflows.store import CampaignExistsError, Store, StoreError
from workflows.store.launchpad import start_firework


def register(store: Store, settings: CampaignSettings) -> None:
    """Reserve a campaign's name and its directory, after everything that can be checked has been.

    Raises:
        CampaignExistsError: the name is taken.
        SettingsError: the theory is not installed, the seeds, the pool or the source cannot be used, or the directory
            cannot be had.
    """
    store.campaigns.check_name_is_free(settings.name)
    own = _check_theories(store, settings)
    _check_sources(settings)
    check_directory_is_free(settings.root, settings.name)
    store.prepare()
    uid = uuid4().hex
    store.campaigns.create(
        settings.name, settings.model_dump(mode="json"), own.id, own.scheme.value, str(settings.root), uid
    )
    mark_directory(settings.root, settings.name, uid)


def _check_theories(store: Store, settings: CampaignSettings) -> Theory:
    """The campaign's own theory, after all that it names have been made once."""
    own = theory(settings.theory)
    _check_potentials(store, own)
    for other in (settings.prerelax, settings.compositional.search.prerelax, settings.baseline):
        if other is not None:
            theory(other)
    if settings.recheck is not None:
        again = theory(settings.recheck.theory)
        if again.id == own.id:
            raise SettingsError("recheck.theory: it is the campaign's own: name another, or leave 'recheck' out")
        _check_potentials(store, again)
    return own


def _check_potentials(store: Store, level: Theory) -> None:
    """Whether a hull would mix releases of VASP's potentials."""
    release = getattr(level.settings, "potcars", None)
    if release is not None and (problem := mixed_release(store, level.id, release)) is not None:
        raise SettingsError(problem)


def _check_sources(settings: CampaignSettings) -> None:
    """Whether the crystals that the settings name can be read."""
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


def adopt(store: Store, launchpad: LaunchPad, name: str) -> Campaign:
    """Register a campaign that came by `lpad add` and that no worker has started yet; nothing for any other.

    Raises:
        StoreError: there is no such campaign, or its start failed; the message says why.
        SettingsError: its settings cannot be used.
    """
    start = None if store.campaigns.exists(name) else start_firework(launchpad, name)
    if start is not None:
        fw_id, data, reason = start
        if reason:
            raise StoreError(f"campaign '{name}' could not start: {reason} (Firework {fw_id})")
        register(store, parse_settings(data, f"Firework {fw_id}"))
    store.campaigns.get(name)
    return Campaign(store, launchpad, name)


def begin(store: Store, launchpad: LaunchPad, settings: CampaignSettings) -> None:
    """Register the campaign if that is still to do, and send its first crystals to relaxation; safe to repeat.

    Raises:
        CampaignExistsError: another campaign has this name.
        SettingsError: as `register`.
    """
    name = settings.name
    try:
        register(store, settings)
    except CampaignExistsError:
        document = store.campaigns.get(name)
        if parse_settings(document["settings"], f"campaign '{name}'") != settings:
            raise
        mark_directory(Path(document["directory"]), name, document["uid"])
    store.rounds.open(name, 0)
    if "selected" not in store.rounds.get(name, 0).get("counts", {}):
        rejects: list[Reject] = []
        first = list(first_crystals(settings, rejects.append))
        keep_rejects(rejects, seed_rejects_of(settings.root))
        chosen = [(candidate, structure, None, None) for candidate, structure in first]
        store.candidates.select(name, 0, chosen, model_id=None)
        store.rounds.update(name, 0, counts={"proposed": len(first), "selected": len(first)})
    campaign = Campaign(store, launchpad, name)
    launch_relaxations(campaign, 0)
    advance(campaign)


def first_crystals(
    settings: CampaignSettings, rejected: Callable[[Reject], None] = lambda reject: None
) -> Iterable[tuple[Candidate, Structure]]:
    """The campaign's first data: elements in their known structures, and prototypes or the crystals of a file.

    Args:
        settings: of the campaign.
        rejected: called with each crystal of the file that cannot be used.

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
        for structure in read_structures(settings.seeds.source, rejected)
        if set(elements).issuperset(element.symbol for element in structure.composition)
    }
    if not crystals:
        raise SettingsError(
            f"seeds.source {settings.seeds.source}: no crystal in it consists of {', '.join(elements)} alone"
        )
    for candidate in own_crystals(crystals):
        yield candidate, crystals[candidate.parent_id]
