"""What an ensemble says of candidates: energies at several volumes, and the spread of the members."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from pymatgen.core import Composition, Element, Structure

from gnome_torch.graphs import CrystalGraph, batch_compositions, batch_graphs, composition_nodes, crystal_graph
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.records import Candidate, Prediction

VOLUME_SCALES = np.linspace(0.8, 1.2, 20)
"""Volumes at which a candidate is tried, as fractions of its reference volume, (20,)."""

BATCH_EDGES = 200_000
"""Edges in one batch: memory is proportional to it."""


def predict(
    ensemble: Ensemble,
    parents: Mapping[str, Structure],
    candidates: Iterable[Candidate],
    volume_scales: np.ndarray = VOLUME_SCALES,
    batch_edges: int = BATCH_EDGES,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Iterator[Prediction]:
    """Predict candidates, in their order: median over the members of the minimum over the volumes.

    Candidates are read as they are needed, so there can be any number of them. The neighbours of a parent are searched
    once (again only if a later candidate is denser than any before it); those of one parent are best kept together.

    Args:
        ensemble: the members.
        parents: crystal of every `Candidate.parent_id`.
        candidates: what to predict.
        volume_scales: fractions of `Candidate.volume` to try, (n_volumes,).
        batch_edges: edges in one batch.
        device: where to compute, as torch names it.
        progress: called with the number of candidates done so far, after each batch.

    Raises:
        ValueError: for a candidate whose parent is missing or has another number of sites, or whose element no network
            knows; the message names the candidate.
        FloatingPointError: if a member's energies are not finite.
    """
    scales = np.asarray(volume_scales, dtype=float)
    if scales.ndim != 1 or len(scales) == 0 or not np.all(np.isfinite(scales) & (scales > 0)):
        raise ValueError(f"volume_scales must be one or more positive numbers, not {volume_scales}")
    if batch_edges < 1:
        raise ValueError(f"batch_edges={batch_edges}: must be positive")
    ensemble = ensemble.to(device).eval()
    cache = _ParentGraphs(parents, ensemble.config.cutoff)
    waiting: list[Candidate] = []
    graphs: list[CrystalGraph] = []
    n_edges = n_done = 0

    def evaluate() -> Iterator[Prediction]:
        energies = _energies(ensemble, graphs, batch_edges, device)
        energies = energies.reshape(len(ensemble), len(waiting), len(scales))
        for i, candidate in enumerate(waiting):
            yield _prediction(candidate.id, energies[:, i], scales)

    for candidate in candidates:
        scaled = cache.at_volumes(candidate, candidate.volume * scales)
        waiting.append(candidate)
        graphs.extend(scaled)
        n_edges += sum(graph.n_edges for graph in scaled)
        if n_edges >= batch_edges:
            yield from evaluate()
            n_done += len(waiting)
            waiting, graphs, n_edges = [], [], 0
            if progress:
                progress(n_done)
    if waiting:
        yield from evaluate()
        n_done += len(waiting)
        if progress:
            progress(n_done)


def predict_structures(
    ensemble: Ensemble, structures: Sequence[Structure], batch_edges: int = BATCH_EDGES, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Predict crystals at the volume they have: what an error against known energies is measured with.

    Args:
        ensemble: the members.
        structures: the crystals.
        batch_edges: edges in one batch.
        device: where to compute, as torch names it.

    Returns:
        Median over the members, eV/atom, (n_structures,), and their inter-quartile range, eV/atom, (n_structures,).
    """
    if len(structures) == 0:
        return np.zeros(0), np.zeros(0)
    ensemble = ensemble.to(device).eval()
    graphs = [crystal_graph(structure, ensemble.config.cutoff) for structure in structures]
    energies = _energies(ensemble, graphs, batch_edges, device)
    return np.median(energies, axis=0), _iqr(energies)


def predict_compositions(
    ensemble: Ensemble, compositions: Sequence[Composition], batch_size: int = 4096, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Predict compounds from their formulas, with an ensemble of composition networks.

    Args:
        ensemble: the members.
        compositions: the compounds.
        batch_size: compositions in one batch.
        device: where to compute, as torch names it.

    Returns:
        Median over the members, eV/atom, (n,), and their inter-quartile range, eV/atom, (n,).

    Raises:
        ValueError: for a composition with something that is no element from hydrogen to plutonium.
        FloatingPointError: if a member's energies are not finite.
    """
    ensemble = ensemble.to(device).eval()
    parts = [np.zeros((len(ensemble), 0))]
    for start in range(0, len(compositions), batch_size):
        nodes = [composition_nodes(composition) for composition in compositions[start : start + batch_size]]
        numbers, fractions = zip(*nodes, strict=True)
        counts = np.array([len(some) for some in numbers])
        batch = batch_compositions(np.concatenate(numbers), np.concatenate(fractions), counts).to(device)
        with torch.inference_mode():
            parts.append(ensemble(batch).double().cpu().numpy())
    energies = np.concatenate(parts, axis=1)
    if not np.all(np.isfinite(energies)):
        raise FloatingPointError("the ensemble predicts energies that are not finite: train again")
    return np.median(energies, axis=0), _iqr(energies)


class _ParentGraphs:
    """Graphs of the parents used last, each at the largest cutoff asked for so far."""

    size = 4096
    margin = 1.05  # beyond what the first candidate needs, so that a slightly denser one needs no new search

    def __init__(self, parents: Mapping[str, Structure], cutoff: float) -> None:
        self.parents = parents
        self.cutoff = cutoff
        self.graphs: OrderedDict[str, CrystalGraph] = OrderedDict()

    def at_volumes(self, candidate: Candidate, volumes: np.ndarray) -> list[CrystalGraph]:
        """The candidate at volumes of the cell, cubic angstrom, (n_volumes,)."""
        try:
            parent = self.parents[candidate.parent_id]
        except KeyError as error:
            raise ValueError(f"candidate {candidate.id}: its parent {candidate.parent_id} is not given") from error
        if not 0 < candidate.volume < float("inf"):
            raise ValueError(f"candidate {candidate.id}: its volume is {candidate.volume}, which no crystal has")
        try:
            linear_scales = np.cbrt(volumes / parent.volume)
            graph = self._graph(candidate.parent_id, parent, self.cutoff / float(linear_scales.min()))
            graph = graph.with_species([Element(symbol).Z for symbol in candidate.species])
            return [graph.scaled(float(scale), self.cutoff) for scale in linear_scales]
        except ValueError as error:
            raise ValueError(f"candidate {candidate.id}: {error}") from error

    def _graph(self, parent_id: str, parent: Structure, cutoff: float) -> CrystalGraph:
        graph = self.graphs.get(parent_id)
        if graph is None or graph.cutoff < cutoff:
            graph = crystal_graph(parent, cutoff * self.margin)
            self.graphs[parent_id] = graph
            if len(self.graphs) > self.size:
                self.graphs.popitem(last=False)
        self.graphs.move_to_end(parent_id)
        return graph


@torch.inference_mode()
def _energies(ensemble: Ensemble, graphs: Sequence[CrystalGraph], batch_edges: int, device: str) -> np.ndarray:
    """Energy per atom by each member, eV/atom, (n_members, n_graphs)."""
    parts = []
    for start, stop in _chunks([graph.n_edges for graph in graphs], batch_edges):
        batch = batch_graphs(graphs[start:stop]).to(device)
        parts.append(ensemble(batch).double().cpu().numpy())
    energies: np.ndarray = np.concatenate(parts, axis=1)
    if not np.all(np.isfinite(energies)):
        broken = [i for i, row in enumerate(energies) if not np.all(np.isfinite(row))]
        raise FloatingPointError(f"members {broken} of the ensemble predict energies that are not finite: train again")
    return energies


def _chunks(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges, each with a total size up to `limit` or of one item."""
    start = total = 0
    for i, size in enumerate(sizes):
        if i > start and total + size > limit:
            yield start, i
            start, total = i, 0
        total += size
    yield start, len(sizes)


def _prediction(candidate_id: str, energies: np.ndarray, scales: np.ndarray) -> Prediction:
    """From energies by member and volume, eV/atom, (n_members, n_volumes)."""
    lowest = energies.min(axis=1)  # (n_members,)
    return Prediction(
        candidate_id=candidate_id,
        formation_energy=float(np.median(lowest)),
        iqr=float(_iqr(lowest)),
        volume_scale=float(np.median(scales[energies.argmin(axis=1)])),
    )


def _iqr(values: np.ndarray) -> np.ndarray:
    """Inter-quartile range over the first axis (the members)."""
    low, high = np.percentile(values, [25, 75], axis=0)
    return np.asarray(high - low)
