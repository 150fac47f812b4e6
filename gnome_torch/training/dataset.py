"""Crystals or compositions with energies as flat arrays: what a network is trained on, on disk and in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor
from torch_geometric.data import Batch

from gnome_torch.files import whole_directory
from gnome_torch.graphs import CUTOFF, CUTOFF_TOLERANCE, CrystalGraph, composition_nodes, crystal_graph, pairs_within
from gnome_torch.stability.formulas import composition_of

FORMAT_VERSION = 2
META = "meta.json"
TEST_PERCENT = 15
"""Of 100 values of the hash, those below this are the test part: measured on DeepMind's released `Is Train` column."""

TRAINING_CUTOFF = CUTOFF / 0.8 ** (1 / 3)
"""Neighbours kept, angstrom: complete at `CUTOFF` after any volume down to 80 %."""

_MAX_NAMES = 5


class DataSetError(Exception):
    """A data set that cannot be used; the message says which crystals or which file, and what to do."""


def in_test_part(reduced_formula: str) -> bool:
    """Whether a composition is tested on. It depends on the formula alone, so it never changes sides."""
    digest = hashlib.md5(reduced_formula.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 100 < TEST_PERCENT


class _FlatSet:
    """What data sets of flat arrays have in common: files, a hash, a split. Subclasses are frozen dataclasses.

    On disk a data set is a directory: a .npy file for each array, which is mapped into memory and not read, and
    meta.json.

    Attributes:
        network: class of the networks that learn from it.
        rows: array of several rows for each example -> array with their number.
        targets: energy per atom, eV/atom, (n,).
        ids: name of each example, (n,), UTF-8.
        formulas: reduced formula of each, (n,), UTF-8.
    """

    network: ClassVar[str]
    rows: ClassVar[Mapping[str, str]]
    targets: np.ndarray
    ids: np.ndarray
    formulas: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def _fields(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def save(self, directory: str | Path, source: str = "") -> None:
        """Write the data set; what was there is replaced as a whole.

        Args:
            directory: of the data set alone; its parents are made.
            source: what it was made from, for those who would make it again.
        """
        meta = {"format_version": FORMAT_VERSION, "class": type(self).__name__, "examples": len(self)}
        with whole_directory(Path(directory)) as folder:
            for name in self._fields():
                np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
            meta |= {"data_hash": self.data_hash, "source": source}
            (folder / META).write_text(json.dumps(meta, indent=2) + "\n")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Map a data set of `save` into memory; never unpickles, never writes.

        Raises:
            DataSetError: if it is missing, broken or of another format.
        """
        directory = Path(directory)
        meta = read_meta(directory)
        if (meta.get("format_version"), meta.get("class")) != (FORMAT_VERSION, cls.__name__):
            raise DataSetError(
                f"{directory}: {meta.get('class')} of format {meta.get('format_version')}, this code wants "
                f"{cls.__name__} of format {FORMAT_VERSION}; build it again"
            )
        try:
            # copy on write: torch wants arrays that it could write to
            arrays = {
                name: np.load(directory / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in cls._fields()
            }
        except (OSError, ValueError) as error:
            raise DataSetError(f"{directory}: not a readable data set ({error}); build it again") from error
        dataset = cls(**arrays)
        dataset.__dict__["data_hash"] = meta["data_hash"]  # in the place of the cached property
        return dataset

    def tensors(self, device: str | torch.device) -> dict[str, Tensor]:
        """The numeric arrays on a device; made once. On a CPU they share the memory of the arrays."""
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:  # or the same GPU would hold them twice
            device = torch.device("cuda", torch.cuda.current_device())
        made: dict[torch.device, dict[str, Tensor]] = self.__dict__.setdefault("_tensors", {})
        if device not in made:
            arrays = {name: np.atleast_1d(getattr(self, name)) for name in self._fields()}
            made[device] = {
                name: torch.from_numpy(np.asarray(array)).to(device)
                for name, array in arrays.items()
                if array.dtype.kind != "S"
            }
        return made[device]

    def take(self, indices: np.ndarray) -> Self:
        """Some of the examples as a data set of their own.

        Args:
            indices: which, (m,).
        """
        chosen = np.asarray(indices, dtype=np.int64)
        arrays = {}
        for name in self._fields():
            array, lengths = getattr(self, name), self.rows.get(name)
            if lengths is not None:
                counts = getattr(self, lengths)
                first = np.cumsum(counts) - counts
                rows, _ = _ragged(torch.from_numpy(first[chosen]), torch.from_numpy(np.asarray(counts[chosen])))
                arrays[name] = array[rows.numpy()]
            elif array.dtype.kind == "S":
                arrays[name] = np.array(array[chosen].tolist())  # as wide as the longest of these
            else:
                arrays[name] = array[chosen] if array.ndim else array
        return type(self)(**arrays)

    def name(self, index: int) -> str:
        """Name of one example."""
        return bytes(self.ids[index]).decode()

    def _first(self, device: str | torch.device, lengths: str) -> Tensor:
        """Position of the first row of each example, (n,)."""
        data = self.tensors(device)
        if f"first {lengths}" not in data:
            data[f"first {lengths}"] = data[lengths].cumsum(0) - data[lengths]
        return data[f"first {lengths}"]

    @cached_property
    def data_hash(self) -> str:
        """First 24 hex digits of the SHA-256 of everything that is trained on."""
        digest = hashlib.sha256()
        for name in self._fields():
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:24]

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training part, (n_train,), and of the test part, (n_test,); no composition is in both."""
        tested = np.array([in_test_part(formula.decode()) for formula in self.formulas.tolist()], dtype=bool)
        return np.flatnonzero(~tested), np.flatnonzero(tested)


@dataclass(frozen=True, eq=False)
class TrainingSet(_FlatSet):
    """Crystals one after another in flat arrays, their equivalent atoms joined (`CrystalGraph.reduced`).

    Attributes:
        numbers: atomic numbers, (sum of n_nodes,).
        atoms: atoms of the cell that each node stands for, (sum of n_nodes,).
        n_nodes: nodes of each crystal, (n_crystals,).
        senders: node each edge leaves, counted within its crystal, (sum of n_edges,).
        receivers: node each edge reaches, counted within its crystal, (sum of n_edges,).
        distances: length of each edge, angstrom, (sum of n_edges,).
        pairs: pairs of atoms that each edge stands for, (sum of n_edges,).
        n_edges: edges of each crystal, (n_crystals,).
        targets: energy per atom, eV/atom, (n_crystals,).
        ids: name of each crystal, (n_crystals,).
        formulas: reduced formula of each crystal, (n_crystals,).
        cutoff: distance up to which every pair is present, angstrom, ().
    """

    network = "StructureNetwork"
    rows = dict.fromkeys(("numbers", "atoms"), "n_nodes") | dict.fromkeys(
        ("senders", "receivers", "distances", "pairs"), "n_edges"
    )
    numbers: np.ndarray
    atoms: np.ndarray
    n_nodes: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    distances: np.ndarray
    pairs: np.ndarray
    n_edges: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    formulas: np.ndarray
    cutoff: np.ndarray

    @classmethod
    def build(
        cls,
        structures: Iterable[Structure],
        targets: Sequence[float] | np.ndarray,
        ids: Sequence[str],
        cutoff: float = TRAINING_CUTOFF,
        progress: Callable[[int], None] | None = None,
    ) -> TrainingSet:
        """Find the neighbours of every crystal.

        One crystal may appear several times, at other volumes or displaced, with the energy it then has: all of a
        composition is on one side of the split.

        Args:
            structures: ordered crystals, at least one; read once, one at a time.
            targets: energy per atom of each, eV/atom.
            ids: name of each.
            cutoff: neighbours to keep, angstrom.
            progress: called with the number of crystals done so far.

        Raises:
            DataSetError: if there is no crystal, the lengths differ, an energy is not finite or a crystal has no graph.
        """
        ids = [str(name) for name in ids]
        energies = _checked_energies("crystal", len(ids), targets, ids)
        graphs: list[CrystalGraph] = []
        formulas = []
        for structure, graph in _graphs(structures, ids, cutoff):
            graphs.append(graph)
            formulas.append(structure.composition.element_composition.reduced_formula)
            if progress:
                progress(len(graphs))
        if len(graphs) != len(ids):
            raise DataSetError(f"{len(graphs)} crystals, {len(energies)} energies and {len(ids)} ids: give one of each")
        return cls(
            **{
                name: np.concatenate([getattr(graph, name) for graph in graphs])
                for name in ("numbers", "atoms", "senders", "receivers", "distances", "pairs")
            },
            n_nodes=np.array([graph.n_nodes for graph in graphs], dtype=np.int64),
            n_edges=np.array([graph.n_edges for graph in graphs], dtype=np.int64),
            targets=energies,
            ids=_utf8(ids),
            formulas=_utf8(formulas),
            cutoff=np.array(cutoff, dtype=np.float64),
        )

    def batch(
        self,
        config: Any,
        indices: np.ndarray,
        volume_scales: np.ndarray | None = None,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Some of the crystals as one batch, without their energies.

        Args:
            config: of the network; its cutoff counts.
            indices: which, (n_graphs,).
            volume_scales: factor of the volume of each, (n_graphs,); None for their own volumes.
            device: where the batch is made.

        Raises:
            ValueError: if the neighbours kept are not enough for these volumes.
        """
        cutoff = float(config.cutoff)
        lengths = np.ones(len(indices)) if volume_scales is None else np.cbrt(volume_scales)  # (n_graphs,)
        if len(indices) and self.cutoff * lengths.min() < cutoff - CUTOFF_TOLERANCE:
            raise ValueError(
                f"the data set has neighbours up to {float(self.cutoff):.4f} A, "
                f"this needs {cutoff / float(lengths.min()):.4f} A: build it with that cutoff"
            )
        data = self.tensors(device)
        chosen = torch.from_numpy(np.asarray(indices, dtype=np.int64)).to(device)
        n_nodes = data["n_nodes"][chosen]  # (n_graphs,)
        nodes, graph = _ragged(self._first(device, "n_nodes")[chosen], n_nodes)
        pointer = torch.cat([n_nodes.new_zeros(1), n_nodes.cumsum(0)])
        edges, edge_graph = _ragged(self._first(device, "n_edges")[chosen], data["n_edges"][chosen])
        distances = data["distances"][edges] * torch.from_numpy(lengths).to(device)[edge_graph]
        kept = (distances <= cutoff + CUTOFF_TOLERANCE).nonzero().squeeze(1)
        edges, first_node = edges[kept], pointer[edge_graph[kept]]
        tensors = {
            "numbers": data["numbers"][nodes].long(),
            "edge_index": torch.stack([data["senders"][edges] + first_node, data["receivers"][edges] + first_node]),
            "distances": distances[kept].float(),
            "atoms": data["atoms"][nodes].float(),
            "pairs": data["pairs"][edges].float(),
            "batch": graph,
            "ptr": pointer,
        }
        return Batch(num_nodes=len(nodes), **tensors)


@dataclass(frozen=True, eq=False)
class CompositionSet(_FlatSet):
    """Compositions one after another in flat arrays.

    Attributes:
        numbers: atomic numbers, ascending within a composition, (sum of n_elements,).
        fractions: fraction of the atoms of each element, (sum of n_elements,).
        n_elements: elements of each composition, (n_compositions,).
        targets: energy per atom, eV/atom, (n_compositions,).
        ids: name of each, (n_compositions,).
        formulas: reduced formula of each, (n_compositions,).
    """

    network = "CompositionNetwork"
    rows = dict.fromkeys(("numbers", "fractions"), "n_elements")
    numbers: np.ndarray
    fractions: np.ndarray
    n_elements: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    formulas: np.ndarray

    @classmethod
    def build(
        cls, formulas: Iterable[str], targets: Sequence[float] | np.ndarray, ids: Sequence[str] | None = None
    ) -> CompositionSet:
        """Read the formulas.

        Args:
            formulas: at least one.
            targets: energy per atom of each, eV/atom.
            ids: name of each; by default the formulas as they are written.

        Raises:
            DataSetError: if there is none, the lengths differ, an energy is not finite or a formula cannot be used.
        """
        texts = [str(formula) for formula in formulas]
        names = texts if ids is None else [str(name) for name in ids]
        energies = _checked_energies("composition", len(texts), targets, names)
        numbers, fractions, reduced = [], [], []
        for name, text in zip(names, texts, strict=True):
            try:
                composition = composition_of(text)
                nodes = composition_nodes(composition)
            except (ValueError, KeyError) as error:
                raise DataSetError(
                    f"composition {name}: {text!r} is not a formula for the networks ({error})"
                ) from error
            numbers.append(nodes[0])
            fractions.append(nodes[1])
            reduced.append(composition.reduced_formula)
        return cls(
            numbers=np.concatenate(numbers).astype(np.uint8),
            fractions=np.concatenate(fractions),
            n_elements=np.array([len(some) for some in numbers], dtype=np.int64),
            targets=energies,
            ids=_utf8(names),
            formulas=_utf8(reduced),
        )

    def batch(
        self,
        config: Any,
        indices: np.ndarray,
        volume_scales: np.ndarray | None = None,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Some of the compositions as one batch, without their energies; a formula has no volume to scale.

        Args:
            config: of the network.
            indices: which, (n_graphs,).
            volume_scales: not used.
            device: where the batch is made.
        """
        data = self.tensors(device)
        chosen = torch.from_numpy(np.asarray(indices, dtype=np.int64)).to(device)
        n_elements = data["n_elements"][chosen]
        nodes, graph = _ragged(self._first(device, "n_elements")[chosen], n_elements)
        pointer = torch.cat([n_elements.new_zeros(1), n_elements.cumsum(0)])
        tensors = {
            "numbers": data["numbers"][nodes].long(),
            "fractions": data["fractions"][nodes].float(),
            "edge_index": pairs_within(pointer, graph),
            "batch": graph,
            "ptr": pointer,
        }
        return Batch(num_nodes=len(nodes), **tensors)


def read_meta(directory: Path) -> dict[str, Any]:
    """What a saved data set says of itself.

    Raises:
        DataSetError: there is none, or it cannot be read.
    """
    try:
        meta: dict[str, Any] = json.loads((directory / META).read_text())
    except FileNotFoundError as error:
        raise DataSetError(f"{directory}: no data set there; build and save it first") from error
    except (OSError, ValueError) as error:
        raise DataSetError(f"{directory}: not a readable data set ({error}); build it again") from error
    if not isinstance(meta, dict):
        raise DataSetError(f"{directory}: not a readable data set ({META} is no JSON object); build it again")
    return meta


def _checked_energies(kind: str, count: int, targets: Sequence[float] | np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Energies as an array, (count,).

    Raises:
        DataSetError: there is none, the lengths differ, or one is not finite.
    """
    energies = np.array(targets, dtype=np.float64)
    if not count == len(energies) == len(ids):
        raise DataSetError(f"{count} {kind}s, {len(energies)} energies and {len(ids)} ids: give one of each")
    if not count:
        raise DataSetError(f"no {kind} to train on: give at least one with its energy")
    refused = [name for name, energy in zip(ids, energies, strict=True) if not np.isfinite(energy)]
    if refused:
        raise DataSetError(f"energies that are not finite: {_names(refused)}; leave these {kind}s out")
    return energies


def _graphs(
    structures: Iterable[Structure], ids: Sequence[str], cutoff: float
) -> Iterator[tuple[Structure, CrystalGraph]]:
    """Each crystal with its graph, one at a time.

    Raises:
        DataSetError: there are more crystals than ids, or one has no graph.
    """
    for place, structure in enumerate(structures):
        if place == len(ids):
            raise DataSetError(f"more than {place} crystals for {place} energies and ids: give one of each")
        try:
            graph = _compact(crystal_graph(structure, cutoff).reduced())
        except ValueError as error:
            raise DataSetError(f"crystal {ids[place]}: {error}; leave it out") from error
        yield structure, graph


def _ragged(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of several ranges, one after another, and the number of the range of each, (sum of lengths,)."""
    ranges = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    before = starts - (lengths.cumsum(0) - lengths)
    return torch.arange(len(ranges), device=lengths.device) + before[ranges], ranges


def _compact(graph: CrystalGraph) -> CrystalGraph:
    """The same in fewer bytes."""
    return replace(
        graph,
        numbers=graph.numbers.astype(np.uint8),
        atoms=graph.atoms.astype(np.int32),
        senders=graph.senders.astype(np.int32),
        receivers=graph.receivers.astype(np.int32),
        pairs=graph.pairs.astype(np.int32),
    )


def _utf8(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts])


def _names(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
