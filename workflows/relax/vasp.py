"""Theories of VASP, by atomate2's Materials Project flows under custodian.

Pseudopotentials are guarded: Yb_2, which makes Yb3+ compounds wrongly stable, is replaced by Yb_3; W_pv, which the
releases from 5.4 on do not have, by W_sv. What was used is recorded with every energy (`details.potcars`).
"""

from __future__ import annotations

import bz2
import gzip
import json
import re
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal
from xml.etree.ElementTree import ParseError

import numpy as np
from ase import Atoms
from ase.io import iread
from pydantic import Field
from pymatgen.core import Structure

from gnome_torch.records import Relaxation
from gnome_torch.stability.corrections import POTENTIAL_SHIFTS, CorrectionScheme
from workflows.ground.site import COMMAND, GAMMA_COMMAND, site_file
from workflows.relax.base import Theory, TheoryBase

# files of a calculation that say nothing which its record does not, or can be made again
LARGE = (
    "AECCAR",
    "CHG",
    "DOSCAR",
    "EIGENVAL",
    "ELFCAR",
    "IBZKPT",
    "LOCPOT",
    "OUTCAR",
    "PCDAT",
    "PROCAR",
    "REPORT",
    "WAVECAR",
    "XDATCAR",
    "vasprun.xml",
)
WITHOUT_W_PV = ("PBE_54", "PBE_64")


class VaspTheory(TheoryBase):
    """What both theories of VASP share."""

    potcars: Literal["PBE", "PBE_52", "PBE_54", "PBE_64"] = Field("PBE_54", description="release of the potentials")
    incar: dict[str, Any] = Field({}, description="INCAR settings in the place of the Materials Project's")
    wall_time_h: float | None = Field(None, gt=0, description="custodian stops VASP this long after its start, hours")
    max_errors: int = Field(5, ge=1, description="errors that custodian mends in one calculation")
    max_restarts: int = Field(2, ge=0, description="a broken relaxation goes on from its last crystal, so often")
    max_atoms: int = Field(200, ge=1, description="larger cells are refused")
    max_electrons: int = Field(2000, ge=1, description="valence electrons; cells of more are refused")
    keep_files: bool = Field(
        True, description="files of successful calculations stay, compressed; false: deleted once recorded"
    )
    poll_s: float = Field(10.0, gt=0, description="how often custodian looks at VASP, seconds")
    potcar_spec: bool = Field(False, description="write the names of the potentials only: to look at inputs")
    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "wall_time_h",
            "max_errors",
            "max_restarts",
            "max_atoms",
            "max_electrons",
            "keep_files",
            "poll_s",
            "potcar_spec",
        }
    )
    optional: ClassVar[frozenset[str]] = frozenset({"incar"})
    # the releases before 5.4 have no Yb_3
    lacking: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(("PBE", "PBE_52"), frozenset({"Yb"}))

    @property
    def supported(self) -> frozenset[str]:
        """Elements for which the release has the potential that is used."""
        return super().supported - self.lacking.get(self.potcars, frozenset())

    def pseudopotentials(self) -> dict[str, str]:
        """Choices in the place of the Materials Project's."""
        return {"Yb": "Yb_3"} | ({"W": "W_sv"} if self.potcars in WITHOUT_W_PV else {})


class VaspPbeTheory(VaspTheory):
    """PBE(+U) with the Materials Project's settings, as GNoME: 520 eV, two relaxations and a static run."""

    name: Literal["vasp-pbe-mp"] = "vasp-pbe-mp"


class VaspR2scanTheory(VaspTheory):
    """r2SCAN with the Materials Project's settings: what phases found stable are rechecked with."""

    name: Literal["vasp-r2scan-mp"] = "vasp-r2scan-mp"
    # nor W_sv, which this input set wants
    lacking: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(("PBE", "PBE_52"), frozenset({"W", "Yb"}))


class VaspRelaxation(Theory):
    """Relaxations by VASP under custodian."""

    settings: VaspTheory

    def __init__(self, settings: VaspTheory, id: str, scheme: CorrectionScheme) -> None:
        self.settings, self.id, self.scheme = settings, id, scheme
        self.max_restarts, self.keep_files = settings.max_restarts, settings.keep_files

    def flow(self, structure: Structure) -> Any:
        """Two relaxations and a static run, or what r2SCAN has in their place."""
        return self._makers()[0].make(structure)

    def _makers(self) -> tuple[Any, list[Any]]:
        """atomate2's maker of the flow, and those of its calculations, with our settings."""
        from atomate2.vasp.flows import mp

        if isinstance(self.settings, VaspPbeTheory):
            maker: Any = mp.MPGGADoubleRelaxStaticMaker()
            makers = [maker.relax_maker.relax_maker1, maker.relax_maker.relax_maker2, maker.static_maker]
        else:
            double = mp.MPMetaGGADoubleRelaxMaker()
            maker = mp.MPMetaGGADoubleRelaxStaticMaker(relax_maker=double)
            makers = [double.relax_maker1, double.relax_maker2, maker.static_maker]
        for job in makers:
            self._set(job)
        return maker, makers

    def inputs(self, structure: Structure) -> Any:
        """The first calculation's input set, as pymatgen's; with names in the place of potentials.

        Args:
            structure: crystal before it is relaxed.
        """
        maker = self._makers()[1][0]
        return maker.input_set_generator.get_input_set(structure, potcar_spec=True)

    def _set(self, maker: Any) -> None:
        """Our settings into one of atomate2's makers."""
        settings, inputs = self.settings, maker.input_set_generator
        # a new input set: pymatgen works the settings into its configuration when one is made, and never again
        maker.input_set_generator = replace(
            inputs,
            user_potcar_functional=settings.potcars,
            user_potcar_settings={**settings.pseudopotentials(), **(inputs.user_potcar_settings or {})},
            user_incar_settings={**(inputs.user_incar_settings or {}), **settings.incar},
        )
        maker.write_input_set_kwargs = {**maker.write_input_set_kwargs, "potcar_spec": settings.potcar_spec}
        maker.run_vasp_kwargs = {
            **maker.run_vasp_kwargs,
            # expanded by the worker, whose site says what they are
            "vasp_cmd": f"${COMMAND}",
            "vasp_gamma_cmd": f"${GAMMA_COMMAND}",
            "max_errors": settings.max_errors,
            "wall_time": int(settings.wall_time_h * 3600) if settings.wall_time_h else None,
            "custodian_kwargs": {"polling_time_step": settings.poll_s, "monitor_freq": 30},
        }

    def read(self, output: dict[str, Any]) -> Relaxation:
        """The result of the static run."""
        structure = output["output"]["structure"]
        if not isinstance(structure, Structure):
            structure = Structure.from_dict(structure)
        found, last = output["output"], output["calcs_reversed"][0]
        hubbards = (output.get("input") or {}).get("hubbards") or {}
        forces, stress = found.get("forces"), found.get("stress")
        outcar = last["output"].get("outcar") or {}
        potcars = [entry["titel"] for entry in (output.get("input") or {}).get("potcar_spec") or []]
        return Relaxation(
            structure=structure,
            energy=float(found["energy"]),
            converged=str(output["state"]).rpartition(".")[2].lower() == "successful",
            steps=len(last["output"]["ionic_steps"]),
            parameters={"run_type": str(last.get("run_type") or output.get("run_type") or ""), "hubbards": hubbards},
            details={
                "potcars": potcars,
                "potcar_functional": self.settings.potcars,
                "shifted": sorted({t.split()[1].split("_")[0] for t in potcars} & POTENTIAL_SHIFTS.keys()),
                "max_force": float(np.linalg.norm(forces, axis=1).max()) if forces else None,
                "stress": stress,
                "magnetization": outcar.get("total_magnetization"),
                "vasp_version": last.get("vasp_version"),
            },
        )

    def refusal(self, structure: Structure) -> str | None:
        """Also what is too large: atoms, valence electrons."""
        if (missing := super().refusal(structure)) is not None:
            return missing
        if len(structure) > self.settings.max_atoms:
            return f"{len(structure)} atoms, max_atoms is {self.settings.max_atoms}: allow more, or leave it out"
        electrons = self.electrons(structure)
        if electrons > self.settings.max_electrons:
            limit = self.settings.max_electrons
            return f"{electrons:.0f} electrons, max_electrons is {limit}: allow more, or leave it out"
        return None

    def electrons(self, structure: Structure) -> float:
        """Valence electrons of a cell, by the published potentials."""
        valences = published_valences(self.settings.potcars)
        symbols = self.symbols(structure)
        return sum(amount * valences.get(symbols[e.symbol], e.Z) for e, amount in structure.composition.items())

    def symbols(self, structure: Structure) -> dict[str, str]:
        """Potential of each element, such as Fe_pv."""
        from pymatgen.io.vasp.sets import MPRelaxSet, MPScanRelaxSet

        inputs = MPRelaxSet if isinstance(self.settings, VaspPbeTheory) else MPScanRelaxSet
        chosen = {**inputs.CONFIG["POTCAR"], **self.settings.pseudopotentials()}
        return {element.symbol: str(chosen[element.symbol]) for element in structure.composition}

    def last_structure(self, directory: Path) -> Structure | None:
        """The latest CONTCAR that can be read."""
        for path in sorted(directory.glob("CONTCAR*")):
            text = _read(path)
            if text.strip():
                try:
                    return Structure.from_str(text, fmt="poscar")
                except (ValueError, IndexError):
                    continue
        return None

    def why(self, directory: Path) -> str:
        """What custodian has mended in a calculation that failed all the same."""
        for path in sorted(directory.glob("custodian.json*")):
            try:
                runs = json.loads(_read(path))
            except ValueError:
                continue
            corrections = [entry for run in runs for entry in run.get("corrections", [])]
            return "; ".join(
                f"{_handler(entry)}: {', '.join(map(str, entry.get('errors') or ['?']))}" for entry in corrections
            )
        return ""

    def remedy(self, failure: str) -> str:
        """For a missing potential, or a missing command."""
        if "POTCAR" in failure or "PMG_VASP_PSP_DIR" in failure:
            release = self.settings.potcars
            return f"unpack {release} under vasp.potcars of {site_file()}: 'gnome doctor dft' says what is missing"
        if COMMAND in failure or GAMMA_COMMAND in failure:
            return f"write vasp.command into {site_file()}: 'gnome doctor dft' tries it"
        return ""

    def steps(self, directory: Path) -> list[Atoms]:
        """Ionic steps of vasprun.xml, as far as it was written."""
        if isinstance(self.settings, VaspR2scanTheory) and not _is_r2scan(directory):
            return []  # the first relaxation of its flow is one by PBEsol
        for path in sorted(directory.glob("vasprun.xml*")):
            try:
                return list(iread(path, index=":", format="vasp-xml"))
            except (OSError, ValueError, EOFError, ParseError):
                continue  # cut off: a calculation that was killed
        return []

    def discard(self, directory: Path) -> None:
        """Delete the files that say nothing which the record does not, or can be made again."""
        for name in LARGE:
            for path in directory.glob(f"{name}*"):
                path.unlink(missing_ok=True)


def pbe(settings: VaspPbeTheory) -> Theory:
    """VASP with PBE(+U), corrected by MP2020."""
    return VaspRelaxation(settings, f"vasp-pbe-mp-{settings.key()}", CorrectionScheme.MP2020)


def r2scan(settings: VaspR2scanTheory) -> Theory:
    """VASP with r2SCAN, which needs no correction."""
    return VaspRelaxation(settings, f"vasp-r2scan-mp-{settings.key()}", CorrectionScheme.NONE)


def stop_in_time(job: Any, left_s: int) -> None:
    """Make custodian stop VASP before its job ends, so that it goes on from its last crystal; nothing for other jobs.

    Args:
        job: of jobflow.
        left_s: seconds that are left; what its own settings allow stays if it is less.
    """
    maker = getattr(job, "maker", None)
    kwargs = getattr(maker, "run_vasp_kwargs", None)
    if maker is not None and isinstance(kwargs, dict):
        maker.run_vasp_kwargs = {**kwargs, "wall_time": min(kwargs.get("wall_time") or left_s, left_s)}


def _read(path: Path) -> str:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", errors="replace") as file:
            return str(file.read())
    except (OSError, EOFError):
        return ""


def _is_r2scan(directory: Path) -> bool:
    """Whether the inputs of a calculation ask for r2SCAN."""
    text = "".join(_read(path) for path in sorted(directory.glob("INCAR*"))[:1])
    return re.search(r"^\s*METAGGA\s*=\s*R2", text, re.IGNORECASE | re.MULTILINE) is not None


def _handler(correction: dict[str, Any]) -> str:
    handler = correction.get("handler")
    return str(handler.get("@class", handler) if isinstance(handler, dict) else handler).rpartition(".")[2]


@cache
def published_valences(functional: str) -> dict[str, float]:
    """Valence electrons of each published potential of a release, by its symbol."""
    path = files("pymatgen.io.vasp") / "potcar-summary-stats.json.bz2"
    summary = json.loads(bz2.decompress(path.read_bytes()))
    return {entry["symbol"]: float(entry["ZVAL"]) for entries in summary[functional].values() for entry in entries}
