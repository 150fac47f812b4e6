"""ASE calculators, loaded once per process.

atomate2 builds a calculator for every relaxation, which for SevenNet costs more than many a relaxation (1.9 s).
A maker that names one of these functions shares it among all the Fireworks that a worker runs. Queued relaxations name
them as `workflows.calculators`: that is a stored format.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gnome_torch.devices import best_device, one_thread_unless_told
from workflows.ground.strict import SettingsError


def device_of(wanted: str) -> str:
    """The device that a theory asks for: "cpu", "cuda", or "auto" for a GPU if there is one.

    Raises:
        SettingsError: there is no GPU.
    """
    found = best_device()
    if wanted == "cuda" and found != "cuda":
        raise SettingsError(
            "theory.device 'cuda': this worker has no GPU: give category 'relax' to GPU nodes, or set device: auto"
        )
    return found if wanted == "auto" else wanted


@lru_cache(maxsize=2)
def sevennet(model: str, device: str = "auto") -> Any:
    """SevenNet with the weights of its wheel: "7net-0" or "7net-l3i5"."""
    one_thread_unless_told()
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model=model, device=device_of(device))


@lru_cache(maxsize=1)
def chgnet(device: str = "auto") -> Any:
    """CHGNet 0.3.0; its energies hold the MP2020 correction."""
    one_thread_unless_told()
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(on_isolated_atoms="ignore", use_device=device_of(device))


def gpaw(cutoff: float, kpoint_density: float, smearing: float) -> Any:
    """GPAW with PBE in plane waves; a new one for each crystal, which it is bound to.

    Args:
        cutoff: of the plane waves, eV.
        kpoint_density: points per 1/angstrom.
        smearing: width of the Fermi-Dirac distribution, eV.
    """
    from gpaw import GPAW, PW, FermiDirac

    return GPAW(
        # the stress of a basis that is fixed while the cell changes is put right by the estimate
        mode=PW(cutoff, dedecut="estimate"),
        xc="PBE",
        kpts={"density": kpoint_density, "gamma": True},
        occupations=FermiDirac(smearing),
        txt=None,
    )
