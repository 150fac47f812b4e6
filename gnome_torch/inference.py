"""What an ensemble says of candidates: energies at several volumes, and the spread of the members.

Candidates come as arrays, those of one parent together (`records.Decorations`). The neighbours of a parent are searched
once, its equivalent atoms are joined once for each way in which elements fall on its sites, and everything after that
is array work on the device: no step of Python per candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Composition, Structure
from torch import Tensor
from torch_geometric.data import Batch

from gnome_torch.graphs import (
    CUTOFF_TOLERANCE,
    N_ELEMENTS,
    CrystalGraph,
    batch_compositions,
    composition_nodes,
    crystal_graph,
    graph_of,
    quotient,
)
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.records import Decorations, Predictions

VOLUME_SCALES = np.linspace(0.8, 1.2, 20)
"""Volumes at which a candidate is tried, as fractions of its reference volume, (20,)."""

BATCH_EDGES = {"cpu": 32_768, "cuda": 1_048_576}
"""Edges in one batch, by kind of device: on a CPU what its caches hold, on a GPU what keeps it busy."""


@dataclass(frozen=True)
class Evaluation:
    """How energies are computed.

    Attributes:
        device: where, as torch names it.
        batch_edges: edges in one batch; None for what suits the device. Halved when a GPU's memory is full.
        bfloat16: multiply in bfloat16; None for yes on a GPU. Costs a few meV/atom of accuracy.
        compiled: compile the networks (a minute at the first batch); None for yes on a GPU.
    """

    device: str = "cpu"
    batch_edges: int | None = None
    bfloat16: bool | None = None
    compiled: bool | None = None

    def __post_init__(self) -> None:
        if self.batch_edges is not None and self.batch_edges < 1:
            raise ValueError(f"batch_edges={self.batch_edges}: must be positive")

    @property
    def kind(self) -> str:
        """Kind of device: cpu, cuda."""
        return torch.device(self.device).type

    @property
    def edges(self) -> int:
        """Edges in one batch."""
        return self.batch_edges or BATCH_EDGES.get(self.kind, BATCH_EDGES["cuda"])

    def prepared(self, ensemble: Ensemble) -> Callable[[Batch], np.ndarray]:
        """The ensemble on its device, from a batch to energies per atom, eV/atom, (n_members, n_graphs).

        Made once for an ensemble, whose weights must not change any more: compiling takes a minute.
        """
        networks = ensemble.to(self.device).eval()
        if self not in ensemble.prepared:
            ensemble.prepared[self] = self._prepared(networks)
        return ensemble.prepared[self]

    def _prepared(self, networks: Ensemble) -> Callable[[Batch], np.ndarray]:
        on_gpu = self.kind != "cpu"
        networks.stack(on_gpu)
        compiled = on_gpu if self.compiled is None else self.compiled
        run = torch.compile(networks, dynamic=True) if compiled else networks
        bfloat16 = on_gpu if self.bfloat16 is None else self.bfloat16

        @torch.no_grad()
        def energies(batch: Batch) -> np.ndarray:
            with torch.autocast(self.kind, torch.bfloat16, enabled=bfloat16):
                values = run(batch).double().cpu().numpy()
            if not np.all(np.isfinite(values)):
                broken = [i for i, row in enumerate(values) if not np.all(np.isfinite(row))]
                raise FloatingPointError(
                    f"members {broken} of the ensemble predict energies that are not finite: train again"
                )
            return np.asarray(values)

        return energies


def predict(
    ensemble: Ensemble,
    candidates: Sequence[Decorations],
    volume_scales: np.ndarray = VOLUME_SCALES,
    evaluation: Evaluation | None = None,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """Predict candidates: median over the members of the minimum over the volumes.

    Args:
        ensemble: of structure networks.
        candidates: those of each parent.
        volume_scales: fractions of the reference volume to try, (n_volumes,).
        evaluation: how to compute.
        progress: called with the number of energies computed so far, of n candidates times n_volumes.

    Raises:
        ValueError: for volume_scales that are none, or an element beyond plutonium.
        FloatingPointError: if a member's energies are not finite.
    """
    scales = np.asarray(volume_scales, dtype=float)
    if scales.ndim != 1 or len(scales) == 0 or not np.all(np.isfinite(scales) & (scales > 0)):
        raise ValueError(f"volume_scales must be one or more positive numbers, not {volume_scales}")
    for some in candidates:
        if len(some) and not (some.numbers.min() >= 1 and some.numbers.max() <= N_ELEMENTS):
            raise ValueError(f"candidates of {some.parent.formula}: the networks know H to Pu (1 to {N_ELEMENTS})")
    evaluation = evaluation or Evaluation()
    cutoff = float(ensemble.config.cutoff)
    total = sum(len(some) for some in candidates)
    energies = np.empty((len(ensemble), total * len(scales)))
    pieces = _pieces(candidates, scales, cutoff, torch.device(evaluation.device))
    done = 0
    for slots, values in _evaluate(ensemble, pieces, cutoff, evaluation):
        energies[:, slots] = values
        done += len(slots)
        if progress:
            progress(done)
    return _predicted(energies.reshape(len(ensemble), total, len(scales)), scales)


def predict_structures(
    ensemble: Ensemble, structures: Sequence[Structure], evaluation: Evaluation | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Predict crystals at the volume they have: what an error against known energies is measured with.

    Args:
        ensemble: of structure networks.
        structures: the crystals.
        evaluation: how to compute.

    Returns:
        Median over the members, eV/atom, (n_structures,), and their inter-quartile range, eV/atom, (n_structures,).

    Raises:
        ValueError: for a disordered crystal or one with an atom beyond plutonium.
        FloatingPointError: if a member's energies are not finite.
    """
    evaluation = evaluation or Evaluation()
    cutoff = float(ensemble.config.cutoff)
    device = torch.device(evaluation.device)
    pieces = (
        Piece.of(crystal_graph(crystal, cutoff).reduced(), None, np.ones(1), np.array([slot]), device)
        for slot, crystal in enumerate(structures)
    )
    energies = np.empty((len(ensemble), len(structures)))
    for slots, values in _evaluate(ensemble, pieces, cutoff, evaluation):
        energies[:, slots] = values
    return np.median(energies, axis=0), _iqr(energies)


def predict_compositions(
    ensemble: Ensemble,
    compositions: Sequence[Composition],
    batch_size: int = 4096,
    evaluation: Evaluation | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict compounds from their formulas, with an ensemble of composition networks.

    Args:
        ensemble: the members.
        compositions: the compounds.
        batch_size: compositions in one batch.
        evaluation: how to compute.

    Returns:
        Median over the members, eV/atom, (n,), and their inter-quartile range, eV/atom, (n,).

    Raises:
        ValueError: for a composition with something that is not an element from hydrogen to plutonium.
        FloatingPointError: if a member's energies are not finite.
    """
    evaluation = evaluation or Evaluation()
    compute = evaluation.prepared(ensemble)
    parts = [np.zeros((len(ensemble), 0))]
    for start in range(0, len(compositions), batch_size):
        nodes = [composition_nodes(composition) for composition in compositions[start : start + batch_size]]
        numbers, fractions = zip(*nodes, strict=True)
        counts = np.array([len(some) for some in numbers])
        batch = batch_compositions(np.concatenate(numbers), np.concatenate(fractions), counts)
        parts.append(compute(batch.to(evaluation.device)))
    energies = np.concatenate(parts, axis=1)
    return np.median(energies, axis=0), _iqr(energies)


@dataclass(frozen=True, eq=False)
class Piece:
    """Graphs of one shape: the same nodes and pairs, with elements and a scale of their own each. On the device.

    Attributes:
        senders, receivers: node each edge leaves and reaches, (n_edges,).
        distances: at scale 1, angstrom, (n_edges,), float64.
        pairs: pairs of atoms each edge stands for, (n_edges,).
        atoms: atoms each node stands for, (n_nodes,).
        numbers: atomic number of each node of each graph, (n_graphs, n_nodes).
        scales: factor of lengths of each graph, (n_graphs,), float64.
        slots: where each graph's energy goes, (n_graphs,).
    """

    senders: Tensor
    receivers: Tensor
    distances: Tensor
    pairs: Tensor
    atoms: Tensor
    numbers: Tensor
    scales: Tensor
    slots: np.ndarray

    @classmethod
    def of(
        cls,
        graph: CrystalGraph,
        numbers: np.ndarray | None,
        scales: np.ndarray,
        slots: np.ndarray,
        device: torch.device,
    ) -> Piece:
        """Copies of a graph; numbers None: with its own elements."""
        elements = graph.numbers[None] if numbers is None else numbers
        return cls(
            torch.tensor(graph.senders, device=device),
            torch.tensor(graph.receivers, device=device),
            torch.tensor(graph.distances, device=device),
            torch.tensor(graph.pairs, dtype=torch.float32, device=device),
            torch.tensor(graph.atoms, dtype=torch.float32, device=device),
            torch.tensor(elements.astype(np.int64), device=device),
            torch.tensor(scales, dtype=torch.float64, device=device),
            slots,
        )

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def rows(self) -> int:
        """Edges, or nodes where there are more of these, of one graph before the cut."""
        return max(len(self.distances), len(self.atoms))

    def take(self, first: int, stop: int) -> Piece:
        """Some of the graphs."""
        numbers, scales = self.numbers[first:stop], self.scales[first:stop]
        return Piece(
            self.senders,
            self.receivers,
            self.distances,
            self.pairs,
            self.atoms,
            numbers,
            scales,
            self.slots[first:stop],
        )


def _pieces(
    candidates: Iterable[Decorations], scales: np.ndarray, cutoff: float, device: torch.device
) -> Iterator[Piece]:
    """Every candidate at every volume; slot = candidate * n_volumes + volume."""
    smallest = float(np.cbrt(scales.min()))
    first = 0
    for some in candidates:
        if len(some) == 0:
            continue
        matrix, coordinates = some.parent.lattice.matrix, some.parent.cart_coords
        lengths = np.cbrt(some.volumes / some.parent.volume)  # (n,)
        reach = cutoff / (float(lengths.min()) * smallest)
        geometry = graph_of(np.ones(len(some.parent)), matrix, coordinates, reach * (1 + 1e-9))
        for labels, rows in _patterns(some.numbers):
            graph, sites = quotient(geometry, labels)
            slots = (first + rows[:, None]) * len(scales) + np.arange(len(scales))
            yield Piece.of(
                graph,
                np.repeat(some.numbers[rows][:, sites], len(scales), axis=0),
                (lengths[rows, None] * np.cbrt(scales)).ravel(),
                slots.ravel(),
                device,
            )
        first += len(some)


def _patterns(numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which sites share an element: a label for each site, (n_sites,), and the rows that follow it."""
    n, n_sites = numbers.shape
    labels = np.empty((n, n_sites), dtype=np.int16)
    step = max(1, 20_000_000 // n_sites**2)
    for start in range(0, n, step):
        some = numbers[start : start + step]
        labels[start : start + step] = (some[:, :, None] == some[:, None, :]).argmax(axis=2)
    patterns, inverse = np.unique(labels, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(patterns) + 1))
    for i, pattern in enumerate(patterns):
        yield pattern, order[bounds[i] : bounds[i + 1]]


def _evaluate(
    ensemble: Ensemble, pieces: Iterable[Piece], cutoff: float, evaluation: Evaluation
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slots, (n_graphs,), and energies per atom by each member, eV/atom, (n_members, n_graphs), batch by batch."""
    compute = evaluation.prepared(ensemble)
    limits = ensemble.batch_edges
    limits.setdefault(evaluation, evaluation.edges)

    def energies(pieces: list[Piece]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        try:
            values = compute(_batch(pieces, cutoff))
        except torch.OutOfMemoryError:
            if sum(len(piece) for piece in pieces) == 1:
                raise
            values = None
        if values is not None:
            yield np.concatenate([piece.slots for piece in pieces]), values
            return
        torch.cuda.empty_cache()
        size = sum(piece.rows * len(piece) for piece in pieces)
        limits[evaluation] = max(1, min(size, limits[evaluation]) // 2)
        for some in _packed(pieces, lambda: limits[evaluation]):
            yield from energies(some)

    for some in _packed(pieces, lambda: limits[evaluation]):
        yield from energies(some)


def _packed(pieces: Iterable[Piece], limit: Callable[[], int]) -> Iterator[list[Piece]]:
    """Pieces in batches of about `limit()` edges (before the cut), cut where they are too long."""
    waiting: list[Piece] = []
    size = 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            count = (limit() - size) // max(1, piece.rows)
            if count == 0 and waiting:
                yield waiting
                waiting, size = [], 0
                continue
            count = max(1, min(count, len(piece) - start))
            waiting.append(piece.take(start, start + count))
            size += count * piece.rows
            start += count
    if waiting:
        yield waiting


def _batch(pieces: Sequence[Piece], cutoff: float) -> Batch:
    """One batch of the networks, on the device."""
    parts: dict[str, list[Tensor]] = {key: [] for key in ("numbers", "distances", "atoms", "pairs", "batch", "ptr")}
    ends: list[Tensor] = []
    n_nodes = n_graphs = 0
    for piece in pieces:
        lengths = piece.scales[:, None] * piece.distances  # (n_graphs, n_edges)
        graph, edge = (lengths <= cutoff + CUTOFF_TOLERANCE).nonzero(as_tuple=True)
        size = len(piece.atoms)
        offset = n_nodes + graph * size
        ends.append(torch.stack([piece.senders[edge] + offset, piece.receivers[edge] + offset]))
        counted = torch.arange(len(piece), device=graph.device)
        parts["numbers"].append(piece.numbers.flatten())
        parts["distances"].append(lengths[graph, edge].float())
        parts["atoms"].append(piece.atoms.repeat(len(piece)))
        parts["pairs"].append(piece.pairs[edge])
        parts["batch"].append((n_graphs + counted).repeat_interleave(size))
        parts["ptr"].append(n_nodes + counted * size)
        n_nodes += size * len(piece)
        n_graphs += len(piece)
    parts["ptr"].append(torch.tensor([n_nodes], device=ends[0].device))
    tensors = {key: torch.cat(some) for key, some in parts.items()}
    return Batch(num_nodes=n_nodes, edge_index=torch.cat(ends, dim=1), **tensors)


def _predicted(energies: np.ndarray, scales: np.ndarray) -> Predictions:
    """From energies by member and volume, eV/atom, (n_members, n, n_volumes)."""
    lowest = energies.min(axis=2)  # (n_members, n)
    return Predictions(
        energy=np.median(lowest, axis=0),
        iqr=_iqr(lowest),
        volume_scale=np.median(scales[energies.argmin(axis=2)], axis=0),
    )


def _iqr(values: np.ndarray) -> np.ndarray:
    """Inter-quartile range over the first axis (the members)."""
    low, high = np.percentile(values, [25, 75], axis=0)
    return np.asarray(high - low)
