"""OPTIMADE providers that lie, are busy, or go round in circles: each record refused with its reason, the others go on.

A server on this machine answers what a test has written; `optimade`'s own server is asked in test_sources.py.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gnome_torch.data.optimade import OptimadeSource, answers
from gnome_torch.data.optimade.structures import crystal_of
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject

SALT: dict[str, Any] = {
    "lattice_vectors": [[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]],
    "dimension_types": [1, 1, 1],
    "nperiodic_dimensions": 3,
    "cartesian_site_positions": [[0, 0, 0], [2.1, 2.1, 2.1]],
    "nsites": 2,
    "species": [
        {"name": "Mg1", "chemical_symbols": ["Mg"], "concentration": [1.0]},
        {"name": "O", "chemical_symbols": ["O"], "concentration": [1]},
    ],
    "species_at_sites": ["Mg1", "O"],
    "structure_features": [],
    "elements": ["Mg", "O"],
    "nelements": 2,
    "chemical_formula_reduced": "MgO",
    "_x_energy": -6.0,
}

Answer = tuple[int, Any, dict[str, str]]


class Server:
    """Answers what it is told, and keeps what it was asked.

    Attributes:
        url: base address.
        answer: makes the answer to a path and its query: status, content (bytes, or JSON) and headers.
        asked: paths with their queries.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[str, dict[str, list[str]]], Answer] = lambda path, query: (404, {"errors": []}, {})
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.asked.append(self.path)
                parts = urlsplit(self.path)
                status, content, headers = server.answer(parts.path, parse_qs(parts.query))
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(answers, "WAIT", 0.01)
    server = Server()
    yield server
    server.close()


def structure(key: str = "a", **changes: Any) -> dict[str, Any]:
    """A record, whose attributes are changed; None takes one out."""
    attributes = {name: value for name, value in (copy.deepcopy(SALT) | changes).items() if value is not None}
    return {"id": key, "type": "structures", "attributes": attributes}


def info(**units: str) -> Answer:
    """What the provider says of its properties."""
    names = ("lattice_vectors", "cartesian_site_positions", "_x_energy")
    properties = {name: {"description": "", **({"unit": units[name]} if name in units else {})} for name in names}
    return 200, {"data": {"properties": properties}, "meta": {}}, {}


def pages(*listed: list[dict[str, Any]], **meta: Any) -> Callable[[str, dict[str, list[str]]], Answer]:
    """Answers page after page, with links from one to the next."""

    def answer(path: str, query: dict[str, list[str]]) -> Answer:
        if path.endswith("/info/structures"):
            return info()
        number = int(query.get("page", ["0"])[0])
        following = f"/v1/structures?page={number + 1}" if number + 1 < len(listed) else None
        return 200, {"data": listed[number], "links": {"next": following}, "meta": meta}, {}

    return answer


def read(server: Server, **options: Any) -> tuple[list[OutsideRecord], list[Reject], list[str]]:
    batches = list(OptimadeSource(server.url, "_x_energy", **options).batches())
    items = [item for batch in batches for item in batch.items]
    warnings = [warning for batch in batches for warning in batch.warnings]
    return [i for i in items if isinstance(i, OutsideRecord)], [i for i in items if isinstance(i, Reject)], warnings


# ---- records


MG, O = SALT["species"]  # noqa: E741


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nsites": 3}, "nsites is 3, with 2 positions and 2 species"),
        ({"species_at_sites": ["Mg1"]}, "nsites is 2, with 2 positions and 1 species"),
        ({"cartesian_site_positions": [[0, 0, 0]]}, "nsites is 2, with 1 positions and 2 species"),
        ({"cartesian_site_positions": [[0, 0, 0], [2.1, None, 2.1]]}, "something in it is not a number"),
        ({"cartesian_site_positions": [[0, 0, 0], [2.1, 1e999, 2.1]]}, "a number in it is not finite"),
        ({"cartesian_site_positions": [[0, 0, 0], [2.1, 2.1]]}, "rows of 3 numbers are expected"),
        ({"cartesian_site_positions": [[0, 0, 0], [0, 0, 0.1]]}, "0.10 angstrom apart"),
        ({"cartesian_site_positions": None}, "cartesian_site_positions is missing"),
        ({"lattice_vectors": [[1, 0, 0], [0, 1, 0]]}, "lattice_vectors: 2 vectors, a crystal has 3"),
        ({"lattice_vectors": [[1, 0, 0], [0, 1, 0], [None, None, None]]}, "something in it is not a number"),
        ({"lattice_vectors": None}, "lattice_vectors is missing"),
        ({"lattice_vectors": [[0, 0.21, 0.21], [0.21, 0, 0.21], [0.21, 0.21, 0]]}, "flat|an atom"),
        ({"dimension_types": [1, 1, 0]}, "not periodic in three dimensions"),
        ({"nperiodic_dimensions": 2}, "not periodic in three dimensions"),
        ({"dimension_types": None, "nperiodic_dimensions": None}, "does not say that it is a crystal"),
        ({"species": [MG]}, "species 'O' of a site is not in the list"),
        ({"species": [MG, O, O]}, "species 'O' stands in the list twice"),
        ({"species": [MG, O | {"concentration": [0.9]}]}, "partly occupied sites: species 'O' is O 0.9"),
        ({"species": [MG, O | {"chemical_symbols": ["O", "S"], "concentration": [0.5, 0.5]}]}, "O 0.5, S 0.5"),
        ({"species": [MG, O | {"chemical_symbols": ["O", "vacancy"], "concentration": [0.9, 0.1]}]}, "vacancy 0.1"),
        ({"species": [MG, O | {"chemical_symbols": ["vacancy"]}]}, "'vacancy', which is not an element"),
        ({"species": [MG, O | {"chemical_symbols": ["X"]}]}, "'X', which is not an element"),
        ({"species": [MG, O | {"chemical_symbols": []}]}, "0 chemical symbols and 1 concentrations"),
        ({"species": [MG, O | {"attached": ["H"], "nattached": [1]}]}, "attached without sites"),
        ({"species": None}, "species 'Mg1' is 'Mg1', which is not an element"),
        ({"structure_features": ["disorder"]}, "it has disorder"),
        ({"structure_features": ["implicit_atoms"]}, "it has implicit_atoms"),
        ({"assemblies": [{"sites_in_groups": [[0], [1]]}]}, "it has assemblies"),
        ({"chemical_formula_reduced": "Mg2O"}, "its sites are MgO, it declares Mg2O"),
        ({"chemical_formula_reduced": "Salt"}, "'Salt' is not a chemical formula"),
        ({"elements": ["Ca", "O"]}, "its sites are of Mg, O, it declares Ca, O"),
        ({"elements": None, "nelements": 3}, "its sites are of 2 elements, it declares 3"),
        ({"_x_energy": None}, "_x_energy is None, no energy"),
        ({"_x_energy": "-6"}, "_x_energy is -6, no energy"),
        ({"_x_energy": True}, "_x_energy is True, no energy"),
        ({"_x_energy": float("nan")}, "its energy is nan"),
        ({"species": "MgO"}, "species is no list"),
        ({"species": [None, None]}, "something else than it should be"),
    ],
)  # fmt: skip
def test_records_are_checked_against_themselves(server: Server, changes: dict[str, Any], reason: str) -> None:
    server.answer = pages([structure("bad", **changes), structure("good")])
    records, rejects, _ = read(server)
    assert [record.key for record in records] == ["good"]
    (reject,) = rejects
    assert (reject.file, reject.place) == (f"optimade:{server.url}", "bad")
    assert any(words in reject.reason for words in reason.split("|")), reject.reason
    assert "\n" not in reject.reason


def test_what_is_no_record_at_all(server: Server) -> None:
    odd = [None, "x", {}, {"id": "c"}, structure("d") | {"type": "references"}, {"id": "e", "attributes": []}]
    server.answer = pages([structure("a"), *odd, structure("a", chemical_formula_reduced=None), structure("b")])  # type: ignore[list-item]
    records, rejects, _ = read(server)
    assert [record.key for record in records] == ["a", "b"]
    reasons = [reject.reason for reject in rejects]
    assert [word in reason for word, reason in zip(
        ("no id", "no id", "no id", "no attributes", "no structure", "no attributes", "twice"), reasons, strict=True
    )] == [True] * 7  # fmt: skip


def test_isotopes_and_species_by_their_symbols() -> None:
    heavy = structure(species=None, species_at_sites=["Li", "D"], elements=["D", "Li"], chemical_formula_reduced="DLi")
    crystal = crystal_of(heavy["attributes"])
    assert crystal.composition.reduced_formula == "LiH"
    assert crystal.volume == pytest.approx(4.2**3 / 4)


def test_energies_per_cell(server: Server) -> None:
    server.answer = pages([structure()])
    assert read(server)[0][0].energy_per_atom == -6.0
    assert read(server, per_cell=True)[0][0].energy_per_atom == -3.0


# ---- units


@pytest.mark.parametrize(
    ("unit", "per_cell", "reason"),
    [
        ("eV", False, ""),
        ("eV", True, ""),
        ("eV/atom", False, ""),
        ("eV/{atom}", False, ""),
        ("eV / cell", True, ""),
        ("eV/atom", True, "leave --per-cell out"),
        ("eV/cell", False, "say --per-cell"),
        ("meV/atom", False, "only eV is read"),
        ("Hartree", False, "only eV is read"),
        ("kJ/mol", False, "only eV is read"),
        ("eV/formula unit", False, "per atom or per cell is read"),
    ],
)
def test_units_of_energies(server: Server, unit: str, per_cell: bool, reason: str) -> None:
    one = pages([structure()])
    server.answer = lambda path, query: info(_x_energy=unit) if "/info/" in path else one(path, query)
    if not reason:
        assert len(read(server, per_cell=per_cell)[0]) == 1
        return
    with pytest.raises(SourceError, match=reason):
        read(server, per_cell=per_cell)


@pytest.mark.parametrize(("unit", "right"), [("Å", True), ("angstrom", True), ("bohr", False), ("nm", False)])
def test_units_of_lengths(server: Server, unit: str, right: bool) -> None:
    one = pages([structure()])
    server.answer = lambda path, query: info(lattice_vectors=unit) if "/info/" in path else one(path, query)
    if right:
        assert len(read(server)[0]) == 1
        return
    with pytest.raises(SourceError, match="only angstrom is read"):
        read(server)


# ---- pages


def test_pages_and_what_is_asked(server: Server) -> None:
    server.answer = pages([structure("a")], [structure("b")], [], [structure("c")], data_returned=3)
    records, _, warnings = read(server, filter='elements HAS "Mg"', page=1)
    assert ([record.key for record in records], warnings) == (["a", "b", "c"], [])
    assert server.asked[0] == "/v1/info/structures"
    query = parse_qs(urlsplit(server.asked[1]).query)
    assert query["filter"] == ['elements HAS "Mg"']
    assert query["page_limit"] == ["1"]
    assert {"_x_energy", "species", "chemical_formula_reduced"} <= set(query["response_fields"][0].split(","))
    source = OptimadeSource(f"{server.url}/v1/", "_x_energy")
    batches = list(source.batches())
    assert [batch.done for batch in batches] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1])
    rest = [item for batch in source.batches(batches[0].position) for item in batch.items]
    assert [item.key for item in rest if isinstance(item, OutsideRecord)] == ["b", "c"]


@pytest.mark.parametrize(
    "following",
    [
        lambda number: "/v1/structures?page=0",
        lambda number: f"/v1/structures?page={number + 1}",  # other addresses, the same content
        lambda number: {"href": "/v1/structures?page=0"},
    ],
)
def test_pages_without_end(server: Server, following: Callable[[int], Any]) -> None:
    def answer(path: str, query: dict[str, list[str]]) -> Answer:
        number = int(query.get("page", ["0"])[0])
        return 200, {"data": [structure("a")], "links": {"next": following(number)}}, {}

    server.answer = lambda path, query: info() if "/info/" in path else answer(path, query)
    batches = OptimadeSource(server.url, "_x_energy").batches()
    assert next(batches).items  # what was read is kept
    with pytest.raises(SourceError, match="go round in a circle"):
        list(batches)
    assert len(server.asked) < 5


def test_empty_pages_without_end(server: Server) -> None:
    def answer(path: str, query: dict[str, list[str]]) -> Answer:
        number = int(query.get("page", ["0"])[0])
        return 200, {"data": [], "links": {"next": f"/v1/structures?page={number + 1}"}}, {}

    server.answer = lambda path, query: info() if "/info/" in path else answer(path, query)
    with pytest.raises(SourceError, match="go round in a circle"):
        read(server)
    assert len(server.asked) < 20


def test_a_next_page_elsewhere_is_not_followed(server: Server) -> None:
    for link in ("http://example.com/v1/structures", "file:///etc/passwd", {"href": "ftp://127.0.0.1/x"}):
        content = {"data": [structure()], "links": {"next": link}}
        server.answer = lambda path, query, content=content: info() if "/info/" in path else (200, content, {})
        with pytest.raises(SourceError, match="which is not its own"):
            read(server)


def test_more_is_announced_than_there_is(server: Server) -> None:
    server.answer = pages([structure()], data_returned=100, more_data_available=True)
    records, _, warnings = read(server)
    assert len(records) == 1
    assert warnings == ["it announces more than the 1 records it gave, and names no next page"]


# ---- what goes wrong on the way


def test_a_busy_provider_is_asked_again(server: Server) -> None:
    one, left = pages([structure()]), [503, 429, 500]

    def answer(path: str, query: dict[str, list[str]]) -> Answer:
        return (left.pop(), b"busy", {"Retry-After": "0.01"}) if left else one(path, query)

    server.answer = answer
    assert len(read(server)[0]) == 1
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("answer", "reason", "times"),
    [
        ((400, {"errors": [{"detail": "no such\nfilter"}]}, {}), "400 no such filter", 1),
        ((403, b"<html>", {}), "403 Forbidden", 1),
        ((500, b"", {}), "500 Internal Server Error", 4),
        ((200, b"<html>", {}), "its answer is no JSON", 4),
        ((200, b"[" * 100_000, {}), "its answer is no JSON", 4),
        ((200, [1], {}), "none of OPTIMADE: it has no data", 4),
        ((200, b'{"data": [', {"Content-Length": "1000"}), "does not answer as it should", 4),
        ((302, b"", {"Location": "/v1/info/structures"}), "does not answer as it should", 4),
    ],
)
def test_errors_are_a_line(server: Server, answer: Answer, reason: str, times: int) -> None:
    server.answer = lambda path, query: answer
    with pytest.raises(SourceError, match=reason) as caught:
        read(server)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert len(server.asked) >= times


def test_a_huge_answer_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)
    server.answer = lambda path, query: (200, b'{"data": [' + b" " * (3 << 20), {})
    with pytest.raises(SourceError, match="more than 1 MB in one answer"):
        read(server)
    assert len(server.asked) == 1


def test_addresses_that_are_none() -> None:
    for address in ("file:///etc", "alexandria.icams.rub.de", ""):
        with pytest.raises(SourceError, match="no address of a provider"):
            list(OptimadeSource(address, "_x_energy").batches())


# ---- licences


@pytest.mark.parametrize(
    ("attributes", "licence", "url"),
    [
        (
            {"available_licenses": ["CC-BY-4.0"], "license": "https://example.com/l"},
            "CC-BY-4.0",
            "https://example.com/l",
        ),
        ({"license": {"href": "https://creativecommons.org/licenses/by-nc/4.0/"}}, "CC BY-NC 4.0", None),
        ({"license": "https://example.com/terms"}, "see https://example.com/terms", "https://example.com/terms"),
        ({"available_licenses": [], "license": None}, "not stated", ""),
        ({"available_licenses": "MIT", "license": 7}, "see 7", "7"),
        (None, "not stated", ""),
    ],
)
def test_the_licence_that_a_provider_states(server: Server, attributes: Any, licence: str, url: str | None) -> None:
    meta = {"provider": {"name": "Example Materials"}}
    server.answer = lambda path, query: (200, {"data": {"attributes": attributes}, "meta": meta}, {})
    origin = OptimadeSource(server.url, "_x_energy").origin
    assert server.asked == ["/v1/info"]
    assert (origin.title, origin.licence, origin.url) == ("Example Materials", licence, server.url)
    assert url is None or origin.licence_url == url


def test_a_provider_without_info(server: Server) -> None:
    assert OptimadeSource(server.url, "_x_energy").origin.licence == "not stated"
