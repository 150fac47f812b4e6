"""Papers behind the phases: the method, the potential that relaxed them, the search that made their crystals."""

from __future__ import annotations

from workflows.store.base import Document

PAPERS: dict[str, Document] = {
    "merchant2023": {
        "title": "Scaling deep learning for materials discovery",
        "authors": ["Amil Merchant", "Simon Batzner", "Samuel S. Schoenholz", "Muratahan Aykol", "Gowoon Cheon",
                    "Ekin Dogus Cubuk"],
        "journal": "Nature", "volume": "624", "pages": "80-85", "year": "2023",
        "doi": "10.1038/s41586-023-06735-9",
    },
    "deng2023": {
        "title": "CHGNet as a pretrained universal neural network potential for charge-informed atomistic modelling",
        "authors": ["Bowen Deng", "Peichen Zhong", "KyuJung Jun", "Janosh Riebesell", "Kevin Han",
                    "Christopher J. Bartel", "Gerbrand Ceder"],
        "journal": "Nature Machine Intelligence", "volume": "5", "pages": "1031-1041", "year": "2023",
        "doi": "10.1038/s42256-023-00716-3",
    },
    "park2024": {
        "title": "Scalable parallel algorithm for graph neural network interatomic potentials in molecular dynamics "
                 "simulations",
        "authors": ["Yutack Park", "Jaesun Kim", "Seungwoo Hwang", "Seungwu Han"],
        "journal": "Journal of Chemical Theory and Computation", "volume": "20", "pages": "4857-4868", "year": "2024",
        "doi": "10.1021/acs.jctc.4c00190",
    },
    "pickard2011": {
        "title": "Ab initio random structure searching",
        "authors": ["Chris J. Pickard", "R. J. Needs"],
        "journal": "Journal of Physics: Condensed Matter", "volume": "23", "pages": "053201", "year": "2011",
        "doi": "10.1088/0953-8984/23/5/053201",
    },
}  # fmt: skip

POTENTIALS = {"chgnet": "deng2023", "sevenn": "park2024"}
"""Beginning of a theory's name -> paper of its potential."""


def papers_of(entry: Document) -> list[str]:
    """Keys of the papers that an entry rests on."""
    cited = ["merchant2023"]
    cited += [paper for name, paper in POTENTIALS.items() if entry["theory"].lower().startswith(name)]
    if entry["source"] == "random":
        cited.append("pickard2011")
    return cited


def paper_document(key: str) -> Document:
    """A paper as an OPTIMADE reference, without its date."""
    paper = PAPERS[key]
    authors = [{"name": name, "lastname": name.split()[-1]} for name in paper["authors"]]
    link = f"https://doi.org/{paper['doi']}"
    return {**paper, "id": key, "type": "references", "authors": authors, "bib_type": "article", "url": link}
