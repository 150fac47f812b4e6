"""What a theory is: how energies are computed, with every setting that changes one, made into relaxations.

A new one is a file beside this one, named in `registry.py`, or in a package of its own (docs/extending.md): its
settings (a `TheoryBase`) and its `Theory`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from pydantic import Field
from pymatgen.core import Element, Structure

from gnome_torch.records import Relaxation, content_hash
from gnome_torch.stability.corrections import CorrectionScheme
from gnome_torch.stability.plausibility import unfit
from workflows.ground.strict import Strict

# Elements of the Materials Project's calculations and trajectories (to plutonium, without those it has no setups for).
MATERIALS_PROJECT_ELEMENTS = frozenset(e.symbol for e in Element if e.Z <= 94 and e.Z not in (84, 85, 86, 87, 88))


class TheoryBase(Strict):
    """Settings of a theory.

    Attributes:
        name: which theory.
        operational: settings that change no energy, and are left out of the theory's key.
        optional: settings that are left out of the key while they are empty, because they came later.
        at_once: whether `Theory.relax` can do it, without Fireworks of the theory's own.
        single_points: whether `Theory.energies` and `Theory.approach` can: whether it may be a baseline.
    """

    name: str
    keep_steps: bool = Field(
        False, description="write energy, forces and stress of every ionic step into the campaign's directory"
    )
    operational: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()
    at_once: ClassVar[bool] = False
    single_points: ClassVar[bool] = False

    @property
    def supported(self) -> frozenset[str]:
        """Elements that it can compute."""
        return MATERIALS_PROJECT_ELEMENTS

    def key(self, **more: Any) -> str:
        """Hash of everything that changes an energy, with whatever else does.

        Args:
            more: versions, weights.
        """
        content = {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if name not in self.operational | {"keep_steps"} and (value or name not in self.optional)
        }
        return content_hash({**content, **more})[:8]


class Theory(ABC):
    """A theory, ready to make relaxations.

    Attributes:
        settings: what it was made from.
        id: name and settings; energies with different ids never meet. The last part is a hash of everything that
            changes an energy: the settings and, for a potential, its weights.
        scheme: correction its energies need before a hull.
        max_restarts: how often a broken relaxation goes on from its last crystal.
        keep_files: whether the files of successful calculations stay.
    """

    settings: Any
    id: str
    scheme: CorrectionScheme
    max_restarts: int = 0
    keep_files: bool = True

    @abstractmethod
    def flow(self, structure: Structure) -> Any:
        """The atomate2 job or flow that relaxes one crystal; its output is read by `read`."""

    @abstractmethod
    def read(self, output: dict[str, Any]) -> Relaxation:
        """The result in an output document."""

    def relax(self, structure: Structure) -> Relaxation:
        """Relax one crystal here and now, the same way, in the current directory; only theories that are cheap can.

        Raises:
            Exception: whatever the calculator stumbles over.
        """
        raise TypeError(f"theory {self.settings.name!r} relaxes in Fireworks only")

    def energies(self, structures: Sequence[Structure]) -> np.ndarray:
        """Energies of crystals as they stand, eV/atom, (n,); nan where one cannot be computed.

        Only theories that are cheap can, here and now.
        """
        raise TypeError(f"theory {self.settings.name!r} computes in Fireworks only")

    def approach(self, structure: Structure, steps: int) -> tuple[float, Structure | None]:
        """Energy, eV/atom, and crystal after the first steps of a relaxation; nan and None where it breaks off.

        Only theories that are cheap can, here and now.

        Args:
            structure: where it begins.
            steps: at most.
        """
        raise TypeError(f"theory {self.settings.name!r} relaxes in Fireworks only")

    def refusal(self, structure: Structure) -> str | None:
        """Why a crystal must not be computed, with the remedy; None if nothing speaks against it.

        Args:
            structure: before any calculation.
        """
        missing = sorted({e.symbol for e in structure.composition} - self.settings.supported)
        if missing:
            return f"theory {self.settings.name!r} has no {', '.join(missing)}: choose another theory"
        return unfit(structure)

    def last_structure(self, directory: Path) -> Structure | None:
        """The last crystal of a relaxation that was broken off; None where there is none to go on from."""
        return None

    def why(self, directory: Path) -> str:
        """What its own record in a directory says about a failure; empty for nothing."""
        return ""

    def remedy(self, failure: str) -> str:
        """What to do about a failure that lies with the site; empty where there is nothing to say."""
        return ""

    def steps(self, directory: Path) -> list[Atoms]:
        """Ionic steps of a calculation with their energies, forces and stress, as far as its files say.

        Only those at this theory: a flow may begin at another one.
        """
        return []

    def discard(self, directory: Path) -> None:  # noqa: B027 (most theories have none)
        """Delete the large files of a calculation."""
