"""Symmetry operations written as `x, y, z`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gnome_torch.data.cif.blocks import CifError

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:/\d+)?"
_TERM = re.compile(rf"([+-]?)(?:({_NUMBER})?\*?([xyz])|({_NUMBER}))")
_ROUNDING = 0.004
"""How far a translation may be off a twenty-fourth and still be meant as one: 0.33 for a third."""


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations on fractional coordinates: x' = rotation @ x + translation.

    Attributes:
        rotations: (n, 3, 3), integers.
        translations: (n, 3), from 0 to 1.
    """

    rotations: np.ndarray
    translations: np.ndarray

    def __len__(self) -> int:
        return len(self.rotations)

    def keep(self, metric: np.ndarray, tolerance: float = 0.02) -> bool:
        """Whether a cell has the symmetry of the rotations.

        Args:
            metric: scalar products of the cell's vectors, (3, 3), square angstrom.
            tolerance: deviation of a scalar product, as a fraction of the largest.
        """
        turned = np.einsum("nji,jk,nkl->nil", self.rotations, metric, self.rotations)
        return bool(np.abs(turned - metric).max() <= tolerance * np.abs(metric).max())


IDENTITY = Operations(np.eye(3, dtype=int)[None], np.zeros((1, 3)))


@lru_cache(maxsize=1024)
def operations_of(texts: tuple[str, ...], centrings: tuple[str, ...] = ("x,y,z",)) -> Operations:
    """The operations that a file lists.

    Args:
        texts: of the operations.
        centrings: further translations that each is combined with, as magnetic CIF gives them.

    Raises:
        CifError: one cannot be read, or they are no group.
    """
    pairs = [_operation(text) for text in texts]
    shifts = [_operation(text)[1] for text in centrings]
    rotations = np.array([rotation for rotation, _ in pairs for _ in shifts])
    translations = np.array([translation + shift for _, translation in pairs for shift in shifts]) % 1.0
    _, first = np.unique(_keys(rotations, translations), axis=0, return_index=True)
    kept = np.sort(first)
    operations = Operations(rotations[kept], translations[kept])
    if not _is_group(operations):
        raise CifError(f"its {len(operations)} symmetry operations are no group: one is missing or misspelt")
    return operations


def _operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    # the fourth part of a magnetic operation says whether it turns the moments over
    parts = re.sub(r"[\s'\"]", "", text.lower()).split(",")
    if len(parts) not in (3, 4):
        raise CifError(f"symmetry operation {text!r}: write it as 'x, y, z'")
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for row, part in enumerate(parts[:3]):
        end = 0
        for match in _TERM.finditer(part):
            if match.start() != end or (end and not match[1]):
                break
            end = match.end()
            sign = -1.0 if match[1] == "-" else 1.0
            if match[3]:
                rotation[row, "xyz".index(match[3])] += sign * (_value(match[2]) if match[2] else 1.0)
            else:
                translation[row] += sign * _value(match[4])
        if not part or end != len(part):
            raise CifError(f"symmetry operation {text!r}: {part!r} cannot be read; write it as 'x, y, z'")
    whole = np.rint(rotation).astype(int)
    if not np.allclose(rotation, whole) or abs(round(float(np.linalg.det(whole)))) != 1:
        raise CifError(f"symmetry operation {text!r} does not keep the volume")
    exact = np.rint(translation * 24) / 24
    return whole, np.where(np.abs(exact - translation) <= _ROUNDING, exact, translation)


def _value(text: str) -> float:
    number, _, divisor = text.partition("/")
    if divisor and not int(divisor):
        raise CifError(f"symmetry operation: {text!r} divides by zero")
    return float(number) / int(divisor or 1)


def _keys(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Integers that are equal for equal operations, (n, 12)."""
    steps = np.rint(translations * 1000).astype(int) % 1000
    return np.concatenate([rotations.reshape(-1, 9), steps], axis=1)


def _is_group(operations: Operations) -> bool:
    rotations, translations = operations.rotations, operations.translations
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 3, 3)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]
    keys = np.concatenate([_keys(rotations, translations), _keys(products, shifts.reshape(-1, 3))])
    return len(np.unique(keys, axis=0)) == len(operations)
