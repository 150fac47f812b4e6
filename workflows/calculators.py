"""Names that stand inside queued relaxations, of this and of earlier versions: a stored format, never rename one."""

from workflows.relax.calculators import chgnet, gpaw, sevennet

__all__ = ["chgnet", "gpaw", "sevennet"]
