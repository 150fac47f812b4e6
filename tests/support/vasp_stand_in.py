"""A stand-in for VASP in tests: it reads and writes VASP's files, and relaxes with a real potential. It is not VASP.

Read: POSCAR, INCAR (NSW, ISIF, NELM, ISPIN, LDAU…, METAGGA), KPOINTS. Written, as custodian, pymatgen and emmet parse
them: vasprun.xml, OUTCAR, CONTCAR, OSZICAR, XDATCAR, and stubs of CHGCAR and WAVECAR. Energies are ASE's EMT for its
seven metals, and otherwise of a Lennard-Jones-like pair potential between ions, in eV.

VASP_STAND_IN tells it how to misbehave, VASP_STAND_IN_STATE is a file in which it counts its runs:

    unconverged:N   stops after three ionic steps in its first N runs
    zbrent:N        ends with ZBRENT's message in its first N runs
    killed:N        dies of SIGKILL in the middle in its first N runs
    corrupt:N       writes half a vasprun.xml in its first N runs
    slow:N          goes on after its first ionic step, in its first N runs, until a STOPCAR tells it to stop
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Kpoints, Poscar

FMAX = 0.02  # eV/angstrom
METALS = {"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"}


class Pairs(Calculator):
    """Pairs at 1.25 times the sum of covalent radii attract each other, by 0.5 eV; unlike ones twice as much."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        i, j, d, v = neighbor_list("ijdD", atoms, 7.0)
        z = atoms.numbers
        depth = np.where(z[i] == z[j], 0.15, 0.5)
        ratio = 1.25 * (covalent_radii[z[i]] + covalent_radii[z[j]]) / d
        smooth, slope = (1 - (d / 7.0) ** 2) ** 2, -4 * d / 49.0 * (1 - (d / 7.0) ** 2)
        well = depth * (ratio**8 - 2 * ratio**4)
        steep = depth * (-8 * ratio**8 + 8 * ratio**4) / d
        pull = 0.5 * (steep * smooth + well * slope)  # of a pair, each counted twice
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, 2 * (pull / d)[:, None] * v)
        stress = np.einsum("n,ni,nj->ij", pull / d, v, v) / atoms.get_volume()
        self.results = {
            "energy": float(0.5 * (well * smooth).sum()),
            "forces": forces,
            "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }


def main() -> None:
    how, _, times = os.environ.get("VASP_STAND_IN", "").partition(":")
    runs = _count()
    bad = how if how and runs <= int(times) else ""
    incar, poscar = Incar.from_file("INCAR"), Poscar.from_file("POSCAR")
    kpoints = Kpoints.from_file("KPOINTS") if Path("KPOINTS").exists() else None
    structure = poscar.structure
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = EMT() if {site.specie.symbol for site in structure} <= METALS else Pairs()
    frames = []

    def keep() -> None:
        frames.append((atoms.copy(), atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)))

    nsw = int(incar.get("NSW", 0))
    if bad == "unconverged":
        nsw = min(nsw, 3)
    if nsw > 0 and int(incar.get("IBRION", 2)) >= 0:
        moving = FrechetCellFilter(atoms) if int(incar.get("ISIF", 2)) == 3 else atoms
        optimizer = FIRE(moving, logfile=None)
        optimizer.attach(keep)
        optimizer.run(fmax=FMAX, steps=nsw - 1 if bad != "slow" else 0)
    else:
        keep()
    if bad in ("unconverged", "slow"):
        # what pymatgen takes for unconverged: as many ionic steps as NSW allows
        frames += [frames[-1]] * (int(incar["NSW"]) - len(frames))
    _write(incar, structure, kpoints, frames, converged=bad not in ("unconverged", "slow"))
    if bad == "slow":
        while not Path("STOPCAR").exists():
            time.sleep(0.2)
        return
    if bad == "corrupt":
        text = Path("vasprun.xml").read_text()
        Path("vasprun.xml").write_text(text[: len(text) // 2])
    if bad == "zbrent":
        print("ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR", flush=True)
        sys.exit(1)
    if bad == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def _count() -> int:
    state = os.environ.get("VASP_STAND_IN_STATE")
    if not state:
        return 1
    with Path(state).open("a+") as file:
        file.write("x")
        return file.tell()


# ---- files


def _write(incar: Incar, structure, kpoints, frames, converged: bool) -> None:  # type: ignore[no-untyped-def]
    final = AseAtomsAdaptor.get_structure(frames[-1][0])
    Poscar(final).write_file("CONTCAR")
    Path("vasprun.xml").write_text(_vasprun(incar, structure, kpoints, frames))
    n = len(structure)
    outcar = [
        " vasp.6.4.2 (a stand-in for tests)", " running on    1 total cores", "",
        f"   number of dos      NEDOS =    301   number of ions     NIONS = {n:6d}",
        f"   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS= {4 * n:6d}",
        f"   NELECT =    {8.0 * n:.4f}    total number of electrons", "   dimension x,y,z NGX =    24 NGY =   24 NGZ =   24",
        f"   ISPIN  = {int(incar.get('ISPIN', 1)):6d}    spin polarized calculation?",
        f"   IBRION = {int(incar.get('IBRION', -1)):6d}    ionic relax: 0-MD 1-quasi-New 2-CG",
        "   total plane-waves  NPLWV =  13824", "", "", "-" * 104, "", "", " k-point  1 :   0.0000 0.0000 0.0000  plane waves:    1000",
        "", " maximum and minimum number of plane-waves per node :      1000     1000", "",
    ]  # fmt: skip
    for step, (_, energy, _, _) in enumerate(frames, start=1):
        outcar += [f"--------------------------------------- Iteration {step:6d}(   1)  ---------------------------------------",
                   f" number of electron    {8.0 * n:.7f} magnetization    {float(n):.7f}", f"  free  energy   TOTEN  =     {energy:16.8f} eV", "    total drift:                                0.000000      0.000000      0.000000"]  # fmt: skip
    magnetisation = [f"{i + 1:5d}        0.000   0.000   1.000   1.000" for i in range(n)]
    outcar += ["", " magnetization (x)", "", "# of ion       s       p       d       tot", "-" * 40, *magnetisation, "-" * 40, f"tot          0.000   0.000   {n:.3f}   {n:.3f}", ""]  # fmt: skip
    if converged:
        outcar.append(" reached required accuracy - stopping structural energy minimisation")
    outcar += ["   E-fermi :   1.0000     XC(G=0):  -9.0000     alpha+bet : -8.0000", "", " General timing and accounting informations for this job:", " ========================================", "                  Total CPU time used (sec):        1.0", "                         Elapsed time (sec):        1.0"]  # fmt: skip
    Path("OUTCAR").write_text("\n".join(outcar) + "\n")
    oszicar = [f"DAV:   1    {e:.12E}   -0.1E+00   -0.1E+00   100   0.1E+00\n   {k} F= {e:.8E} E0= {e:.8E}  d E =-.1E-01  mag= {float(n):.4f}" for k, (_, e, _, _) in enumerate(frames, 1)]  # fmt: skip
    Path("OSZICAR").write_text("\n".join(["       N       E                     dE             d eps       ncg     rms          rms(c)", *oszicar]) + "\n")  # fmt: skip
    for name in ("CHGCAR", "WAVECAR", "vasp.out"):
        Path(name).touch()
    print(f" {len(frames)} F= {frames[-1][1]:.8E}", flush=True)


def _vasprun(incar: Incar, structure, kpoints, frames) -> str:  # type: ignore[no-untyped-def]
    symbols = [site.specie.symbol for site in structure]
    kinds = list(dict.fromkeys(symbols))
    titles = _titles(kinds)
    defaults = {"PREC": "accura", "ENMAX": float(incar.get("ENCUT", 400)), "NELM": 60, "NSW": 0, "IBRION": -1, "ISIF": 2, "ISPIN": 1, "ISMEAR": 1,
                "SIGMA": 0.2, "LORBIT": 0, "NBANDS": 4 * len(symbols), "NELECT": 8.0 * len(symbols), "GGA": "--", "METAGGA": "--", "LHFCALC": False, "AEXX": 0.0, "HFSCREEN": 0.0, "LDAU": False,
                "IVDW": 0, "LUSE_VDW": False, "LASPH": False, "EDIFF": 1e-4, "EDIFFG": 1e-3, "POTIM": 0.5, "LSORBIT": False, "LNONCOLLINEAR": False}  # fmt: skip
    parameters = {**defaults, **{k: v for k, v in incar.items() if k not in ("SYSTEM", "MAGMOM")}}
    divisions = " ".join(map(str, kpoints.kpts[0])) if kpoints else "1 1 1"
    parts = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>',
        '<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i><i name="subversion" type="string">stand-in for tests</i><i name="platform" type="string">test</i><i name="date" type="string">2026 01 01</i><i name="time" type="string">00:00:00</i></generator>',
        "<incar>" + "".join(_item(k, v) for k, v in incar.items()) + "</incar>",
        f'<kpoints><generation param="Gamma"><v type="int" name="divisions">{divisions}</v><v name="usershift">0 0 0</v><v name="shift">0 0 0</v></generation><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>',
        '<parameters><separator name="general">' + "".join(_item(k, v) for k, v in parameters.items()) + "</separator></parameters>",
        f'<atominfo><atoms>{len(symbols)}</atoms><types>{len(kinds)}</types><array name="atoms"><dimension dim="1">ion</dimension><field type="string">element</field><field type="int">atomtype</field><set>'
        + "".join(f"<rc><c>{s}</c><c>{kinds.index(s) + 1}</c></rc>" for s in symbols) + "</set></array>"
        '<array name="atomtypes"><dimension dim="1">type</dimension><set>'
        + "".join(f"<rc><c>{symbols.count(k)}</c><c>{k}</c><c>1.0</c><c>8.0</c><c>{titles[k]}</c></rc>" for k in kinds) + "</set></array></atominfo>",
        _structure(frames[0][0], "initialpos"),
    ]  # fmt: skip
    for number, (atoms, energy, forces, stress) in enumerate(frames, start=1):
        values = "".join(f'<i name="{name}">{energy:.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
        last = _levels(energy) if number == len(frames) else ""
        kilobar = -1602.1766 * stress  # VASP's sign and unit
        parts.append(f"<calculation><scstep><energy>{values}</energy></scstep>{_structure(atoms)}{_rows('forces', forces)}{_rows('stress', kilobar)}<energy>{values}</energy>{last}</calculation>")  # fmt: skip
    return "\n".join([*parts, _structure(frames[-1][0], "finalpos"), "</modeling>"]) + "\n"


def _titles(kinds: list[str]) -> dict[str, str]:
    """Titles of the POTCAR, else of its list of names."""
    if Path("POTCAR").exists():
        lines = [line.split("=")[1].strip() for line in Path("POTCAR").read_text().splitlines() if "TITEL" in line]
    else:
        lines = [f"PAW_PBE {name} 01Jan2000" for name in Path("POTCAR.spec").read_text().split()]
    found = {line.split()[1].split("_")[0]: line for line in lines}
    return {kind: found[kind] for kind in kinds}


def _item(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f'<i type="logical" name="{name}">{"T" if value else "F"}</i>'
    if isinstance(value, int):
        return f'<i type="int" name="{name}">{value}</i>'
    if isinstance(value, float):
        return f'<i name="{name}">{value:.8f}</i>'
    if isinstance(value, list):
        kind = (
            ' type="int"'
            if all(isinstance(v, int) for v in value) and name != "MAGMOM" and name != "LDAUU" and name != "LDAUJ"
            else ""
        )
        return f'<v{kind} name="{name}">{" ".join(map(str, value))}</v>'
    return f'<i type="string" name="{name}">{value}</i>'


def _rows(name: str, values: np.ndarray) -> str:
    rows = "".join(f"<v>{' '.join(f'{x:.10f}' for x in row)}</v>" for row in np.asarray(values))
    return f'<varray name="{name}">{rows}</varray>'


def _structure(atoms, name: str = "") -> str:  # type: ignore[no-untyped-def]
    label = f' name="{name}"' if name else ""
    cell = np.asarray(atoms.cell)
    return (
        f"<structure{label}><crystal>{_rows('basis', cell)}<i name='volume'>{atoms.get_volume():.8f}</i>"
        f"{_rows('rec_basis', np.linalg.inv(cell).T)}</crystal>{_rows('positions', atoms.get_scaled_positions())}</structure>"
    )


def _levels(_: float) -> str:
    """One k-point with a gap, both spins."""
    spins = "".join(
        f'<set comment="spin {s}"><set comment="kpoint 1"><r>-1.0 1.0</r><r>3.0 0.0</r></set></set>' for s in (1, 2)
    )
    return f'<eigenvalues><array><dimension dim="1">band</dimension><field>eigene</field><field>occ</field><set>{spins}</set></array></eigenvalues><dos><i name="efermi">1.0</i><total><array><dimension dim="1">gridpoints</dimension><field>energy</field><field>total</field><field>integrated</field><set><set comment="spin 1"><r>-1.0 1.0 1.0</r><r>3.0 0.0 1.0</r></set><set comment="spin 2"><r>-1.0 1.0 1.0</r><r>3.0 0.0 1.0</r></set></set></array></total></dos>'  # fmt: skip


if __name__ == "__main__":
    main()
