"""Crystals or compositions with energies as flat arrays: what a network is trained on, on disk and in memory."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pymatgen.core import Composition, Structure

from gnome_torch.graphs import (
    CUTOFF,
    CUTOFF_TOLERANCE,
    batch_arrays,
    batch_compositions,
    composition_nodes,
    crystal_graph,
)

if TYPE_CHECKING:
    from torch_geometric.data import Batch

FORMAT_VERSION = 1
TEST_PERCENT = 15
"""Of 100 values of the hash, those below this are the test part: measured on DeepMind's released `Is Train` column."""

TRAINING_CUTOFF = CUTOFF / 0.8 ** (1 / 3)
"""Neighbours kept, angstrom: complete at `CUTOFF` after any volume down to 80 %."""

_MAX_NAMES = 5


class DataSetError(Exception):
    """A data set that cannot be used; the message says which crystals or which file, and what to do."""


def in_test_part(reduced_formula: str) -> bool:
    """Whether a composition is tested on. It hangs on the formula alone, so it never changes sides."""
    digest = hashlib.md5(reduced_formula.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 100 < TEST_PERCENT


class _FlatSet:
    """What data sets of flat arrays have in common: a file, a hash, a split. Subclasses are frozen dataclasses.

    Attributes:
        network: class of the networks that learn from it.
        targets: energy per atom, eV/atom, (n,).
        ids: name of each example, (n,).
        formulas: reduced formula of each, (n,).
    """

    network: ClassVar[str]
    targets: np.ndarray
    ids: np.ndarray
    formulas: np.ndarray

    def __post_init__(self) -> None:
        for field in self._fields():
            getattr(self, field).flags.writeable = False

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def _fields(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def save(self, path: str | Path) -> None:
        """Write one .npz file; what was there is replaced as a whole.

        Args:
            path: the file; its parents are made.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new-{uuid.uuid4().hex[:12]}")
        try:
            with open(temporary, "wb") as file:
                arrays = {name: getattr(self, name) for name in self._fields()}
                np.savez(file, format_version=np.array(FORMAT_VERSION), **arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`; never unpickles.

        Raises:
            DataSetError: if it is missing, broken or of another format.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError as error:
            raise DataSetError(f"{path}: no such data set; build and save it first") from error
        except Exception as error:  # zipfile, zlib, numpy: whatever a broken file makes them raise
            raise DataSetError(f"{path}: not a readable data set ({error}); build it again") from error
        version = arrays.pop("format_version", None)
        if version is None or version != FORMAT_VERSION or set(arrays) != set(cls._fields()):
            raise DataSetError(
                f"{path}: data set of format {version}, this code reads {FORMAT_VERSION}; build it again"
            )
        return cls(**arrays)

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
        tested = np.array([in_test_part(str(formula)) for formula in self.formulas], dtype=bool)
        return np.flatnonzero(~tested), np.flatnonzero(tested)


@dataclass(frozen=True, eq=False)
class TrainingSet(_FlatSet):
    """Crystals one after another in flat arrays.

    Attributes:
        numbers: atomic numbers, (sum of n_atoms,).
        n_atoms: atoms of each crystal, (n_crystals,).
        senders: first atom of each edge, counted within its crystal, (sum of n_edges,).
        receivers: second atom of each edge, counted within its crystal, (sum of n_edges,).
        distances: length of each edge, angstrom, (sum of n_edges,).
        n_edges: edges of each crystal, (n_crystals,).
        targets: energy per atom, eV/atom, (n_crystals,).
        ids: name of each crystal, (n_crystals,).
        formulas: reduced formula of each crystal, (n_crystals,).
        cutoff: distance up to which every pair is present, angstrom, ().
    """

    network = "StructureNetwork"
    numbers: np.ndarray
    n_atoms: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    distances: np.ndarray
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
    ) -> TrainingSet:
        """Find the neighbours of every crystal.

        One crystal may appear several times, at other volumes or displaced, with the energy it then has: all of a
        composition is on one side of the split.

        Args:
            structures: ordered crystals, at least one.
            targets: energy per atom of each, eV/atom.
            ids: name of each.
            cutoff: neighbours to keep, angstrom.

        Raises:
            DataSetError: if there is no crystal, the lengths differ, an energy is not finite or a crystal has no graph.
        """
        structures, ids = list(structures), [str(name) for name in ids]
        energies = _checked_energies("crystal", len(structures), targets, ids)
        refused = [name for name, structure in zip(ids, structures, strict=True) if len(structure) == 0]
        if refused:
            raise DataSetError(f"crystals without atoms: {_names(refused)}; leave them out")
        graphs = []
        for name, structure in zip(ids, structures, strict=True):
            try:
                graphs.append(crystal_graph(structure, cutoff))
            except ValueError as error:
                raise DataSetError(f"crystal {name}: {error}") from error
        return cls(
            numbers=np.concatenate([graph.numbers for graph in graphs]).astype(np.int32),
            n_atoms=np.array([graph.n_atoms for graph in graphs], dtype=np.int64),
            senders=np.concatenate([graph.senders for graph in graphs]).astype(np.int32),
            receivers=np.concatenate([graph.receivers for graph in graphs]).astype(np.int32),
            distances=np.concatenate([graph.distances for graph in graphs]),
            n_edges=np.array([graph.n_edges for graph in graphs], dtype=np.int64),
            targets=energies,
            ids=np.array(ids),
            formulas=np.array([structure.composition.element_composition.reduced_formula for structure in structures]),
            cutoff=np.array(cutoff, dtype=np.float64),
        )

    def batch_for(self, config: Any, indices: np.ndarray, volume_scales: np.ndarray | None = None) -> Batch:
        """`batch` as a network of this configuration needs it."""
        return self.batch(indices, config.cutoff, volume_scales)

    def batch(self, indices: np.ndarray, cutoff: float = CUTOFF, volume_scales: np.ndarray | None = None) -> Batch:
        """Some of the crystals as one batch, without their energies.

        Args:
            indices: which, (n_graphs,).
            cutoff: largest length of an edge, angstrom.
            volume_scales: factor of the volume of each, (n_graphs,); None for their own volumes.

        Raises:
            ValueError: if the neighbours kept are not enough for these volumes.
        """
        scales = np.ones(len(indices)) if volume_scales is None else np.cbrt(volume_scales)  # (n_graphs,)
        if len(indices) and self.cutoff * scales.min() < cutoff - CUTOFF_TOLERANCE:
            raise ValueError(
                f"the data set has neighbours up to {float(self.cutoff):.4f} A, "
                f"this needs {cutoff / float(scales.min()):.4f} A: build it with that cutoff"
            )
        atoms = _ragged(self._first_atom[indices], self.n_atoms[indices])
        edges = _ragged(self._first_edge[indices], self.n_edges[indices])
        graph = np.repeat(np.arange(len(indices)), self.n_edges[indices])  # (n_edges,)
        distances = self.distances[edges] * scales[graph]
        kept = distances <= cutoff + CUTOFF_TOLERANCE
        edges = edges[kept]
        return batch_arrays(
            numbers=self.numbers[atoms],
            senders=self.senders[edges],
            receivers=self.receivers[edges],
            distances=distances[kept],
            n_atoms=self.n_atoms[indices],
            n_edges=np.bincount(graph[kept], minlength=len(indices)),
        )

    @cached_property
    def _first_atom(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.n_atoms)[:-1]])

    @cached_property
    def _first_edge(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.n_edges)[:-1]])


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
                composition = Composition(text)
                nodes = composition_nodes(composition)
            except (ValueError, KeyError) as error:
                raise DataSetError(f"composition {name}: {text!r} is no formula for the networks ({error})") from error
            numbers.append(nodes[0])
            fractions.append(nodes[1])
            reduced.append(composition.reduced_formula)
        return cls(
            numbers=np.concatenate(numbers).astype(np.int32),
            fractions=np.concatenate(fractions),
            n_elements=np.array([len(some) for some in numbers], dtype=np.int64),
            targets=energies,
            ids=np.array(names),
            formulas=np.array(reduced),
        )

    def batch_for(self, config: Any, indices: np.ndarray, volume_scales: np.ndarray | None = None) -> Batch:
        """Some of the compositions as one batch, without their energies; a formula has no volume to scale.

        Args:
            config: of the network.
            indices: which, (n_graphs,).
            volume_scales: not used.
        """
        nodes = _ragged(self._first_node[indices], self.n_elements[indices])
        return batch_compositions(self.numbers[nodes], self.fractions[nodes], self.n_elements[indices])

    @cached_property
    def _first_node(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.n_elements)[:-1]])


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


def _ragged(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of several ranges, one after another, (sum of lengths,)."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


def _names(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
