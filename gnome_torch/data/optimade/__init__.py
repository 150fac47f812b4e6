"""Crystals and energies from an OPTIMADE provider, page by page.

OPTIMADE fixes how crystals are served, not energies: these are in a property of the provider's own, which is named.

| module | subject |
|---|---|
| answers.py | what a provider answers over HTTP: within bounds, asked again when it is busy |
| structures.py | a record as a crystal with its energy, what it declares checked against what was read |
| source.py | the pages of a question, as a source of energies |
"""

from gnome_torch.data.optimade.source import OptimadeSource

__all__ = ["OptimadeSource"]
