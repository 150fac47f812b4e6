"""Known crystals to substitute in, from files; what cannot be a parent is said."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from gnome_torch.candidates.parents import Parent
    from gnome_torch.data.files import Crystal

LIBRARY = "prototypes"
NAMED = 20  # unsuitable parents named on the terminal; all are in summary.json


def read_parents(
    sources: Sequence[str], max_atoms: int, console: Console
) -> tuple[list[Parent], list[tuple[str, str]]]:
    """The crystals of all sources that can be parents; the others with the reason, which is also printed.

    Raises:
        GenerationError: not one of them can be a parent.
    """
    from gnome_torch.candidates.structural.generation import GenerationError

    parents = _Parents(max_atoms)
    for source in sources:
        with console.status(f"reading {source}"):
            if source == LIBRARY:
                parents.add_library()
            else:
                parents.add_file(source)
    parents.say_how_many_more()
    if not parents.suitable:
        raise GenerationError(f"no crystal of {', '.join(sources)} can be a parent: all were skipped, see above")
    return parents.suitable, parents.unsuitable


@dataclass
class _Parents:
    """What has been read so far."""

    max_atoms: int
    suitable: list[Parent] = field(default_factory=list)
    unsuitable: list[tuple[str, str]] = field(default_factory=list)
    named: int = 0

    def add_file(self, source: str) -> None:
        """The crystals of a file or directory; the unsuitable ones are named, up to a number."""
        from gnome_torch.data.files import read_crystals

        for name, reason in self._refused(read_crystals(source)):
            if self.named < NAMED:
                print(f"skipped {name}: {reason}", file=sys.stderr)
                self.named += 1

    def add_library(self) -> None:
        """The prototypes, which nobody has asked for in particular: the unsuitable ones are counted."""
        from gnome_torch.candidates.prototypes import prototypes
        from gnome_torch.data.files import Crystal

        crystals = (Crystal(key, structure) for key, structure in prototypes().items())
        for reason, count in Counter(reason for _, reason in self._refused(crystals)).items():
            print(f"skipped {count} of the {LIBRARY}: {reason}", file=sys.stderr)

    def say_how_many_more(self) -> None:
        """After the last source: the number of all, where not all were named."""
        if len(self.unsuitable) > self.named == NAMED:
            print(f"skipped more, {len(self.unsuitable)} in all: their names are in summary.json", file=sys.stderr)

    def _refused(self, crystals: Iterator[Crystal]) -> Iterator[tuple[str, str]]:
        """Sort crystals, and tell those that cannot be parents, with the reason."""
        from gnome_torch.candidates.parents import ParentError, parent_of

        for crystal in crystals:
            try:
                if crystal.structure is None:
                    raise ParentError(crystal.problem)
                self.suitable.append(parent_of(crystal.name, crystal.structure, self.max_atoms))
            except ParentError as error:
                self.unsuitable.append((crystal.name, str(error)))
                yield crystal.name, str(error)
