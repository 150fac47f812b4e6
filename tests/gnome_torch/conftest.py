"""Local servers that the clients of outside data are pointed at."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedStructureEntry
from pymatgen.io.cif import CifWriter


def salt(cation: str = "Mg", anion: str = "O") -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def optimade_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `optimade` package's own server: eight salts, one without energy, one of which not every atom has a site."""
    pytest.importorskip("fastapi", reason="optimade[server] is not installed")
    from optimade.adapters.structures.pymatgen import from_pymatgen

    directory = tmp_path_factory.mktemp("optimade")
    lines: list[dict[str, Any]] = [{"x-optimade": {"meta": {"api_version": "1.2.0"}}}]
    for number, cation in enumerate(("Be", "Mg", "Ca", "Sr", "Ba", "Cd", "Zn")):
        attributes = json.loads(from_pymatgen(salt(cation)).model_dump_json())
        attributes |= {"last_modified": {"$date": "2026-01-01T00:00:00Z"}, "energy": -40.0 - number}
        if cation == "Zn":
            attributes["energy"] = None
        lines.append({"type": "structures", "id": f"x-{number}", "attributes": attributes})
    hydroxide = json.loads(json.dumps(lines[1]["attributes"]))  # of BeO, an oxygen with a hydrogen that has no site
    hydroxide["structure_features"] = ["site_attachments"]
    oxygen = next(species for species in hydroxide["species"] if species["name"] == "O")
    oxygen |= {"attached": ["H"], "nattached": [1]}
    lines.append({"type": "structures", "id": "x-7", "attributes": hydroxide})
    (directory / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    fields = [{"name": "energy", "type": "float", "description": "total energy, eV per cell", "unit": "eV"}]
    config = {
        "insert_test_data": False,
        "insert_from_jsonl": str(directory / "data.jsonl"),
        "database_backend": "mongomock",
        "provider": {"prefix": "gt", "name": "x", "description": "x", "homepage": "https://example.com"},
        "provider_fields": {"structures": fields},
        "log_dir": str(directory / "logs"),
    }
    (directory / "config.json").write_text(json.dumps(config))
    port = free_port()
    log = (directory / "server.log").open("w")
    command = [sys.executable, "-m", "uvicorn", "optimade.server.main:app", "--port", str(port)]
    environment = {**os.environ, "OPTIMADE_CONFIG_FILE": str(directory / "config.json")}
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=directory)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            assert server.poll() is None, (directory / "server.log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{url}/v1/structures?page_limit=1", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()


class Thermo:
    """What the Materials Project serves under /materials/thermo, on this machine, for the real client.

    Attributes:
        url: address, for MP_API_ENDPOINT.
        version: of its database.
        asked: queries so far.
        broken_after: refuse everything after as many queries.
    """

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents
        self.version = "2026.11.1"
        self.asked: list[dict[str, list[str]]] = []
        self.broken_after: int | None = None
        thermo = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                thermo.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlparse(handler.path)
        if "thermo" not in address.path:
            body = {"db_version": self.version, "access_controlled_batch_ids": [], "emmet_version": "0.90.0"}
            return self._send(handler, 200, {**body, "version": "0.90.0"})
        query = parse_qs(address.query)
        self.asked.append(query)
        if handler.headers.get("x-api-key") != "k" * 32:
            return self._send(handler, 401, {"detail": "no such key"})
        if self.broken_after is not None and len(self.asked) > self.broken_after:
            return self._send(handler, 500, {"detail": "the database is on fire"})
        found = [d for d in self.documents if d["thermo_type"] in query["thermo_types"][0].split(",")]
        if "chemsys" in query:
            found = [d for d in found if d["chemsys"] in query["chemsys"][0].split(",")]
        if "material_ids" in query:
            found = [d for d in found if d["material_id"] in query["material_ids"][0].split(",")]
        start, limit = int(query.get("_skip", ["0"])[0]), int(query.get("_limit", ["1000"])[0])
        fields = query["_fields"][0].split(",")
        rows = [{name: d[name] for name in fields if name in d} for d in found[start : start + limit]]
        return self._send(handler, 200, {"data": rows, "meta": {"total_doc": len(found)}})

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(json.dumps(body).encode())


def thermo_document(name: str, structure: Structure, energy: float, thermo_type: str = "GGA_GGA+U") -> dict[str, Any]:
    adjustment = CompositionEnergyAdjustment(-0.687, structure.composition["O"], name="oxide", cls={})
    entry = ComputedStructureEntry(structure, energy, energy_adjustments=[adjustment], entry_id=f"{name}-GGA")
    return {
        "material_id": name,
        "thermo_type": thermo_type,
        "chemsys": structure.composition.chemical_system,
        "elements": sorted(e.symbol for e in structure.composition),
        "entries": {"GGA": json.loads(json.dumps(entry.as_dict()).replace("NaN", "null"))},
    }


@pytest.fixture
def thermo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thermo]:
    """Four materials of the Materials Project: three of Mg-Ca-O, of which one is broken, and one of r2SCAN."""
    documents = [
        thermo_document("mp-1", salt("Mg"), -48.0),
        thermo_document("mp-2", salt("Ca"), -52.0),
        thermo_document("mp-3", salt("Ca"), -51.0),
        thermo_document("mp-4", salt("Mg"), -60.0, "r2SCAN"),
        thermo_document("mp-5", salt("Sr"), -50.0),
    ]
    documents[4]["builder_meta"] = {"license": "BY-NC"}  # which the Project has from GNoME
    documents[2]["entries"]["GGA"]["structure"]["sites"][0].pop("species")
    server = Thermo(documents)
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    mp_client = pytest.importorskip("mp_api.client.core.settings", reason="mp-api is not installed")
    monkeypatch.setattr(mp_client.MAPI_CLIENT_SETTINGS, "ENDPOINT", server.url)
    yield server
    server.close()


@pytest.fixture
def release(tmp_path: Path) -> tuple[Path, Path]:
    """A table like GNoME's `stable_materials_summary.csv`, and its crystals; see DATASET.md of their repository."""
    summary, crystals = tmp_path / "stable_materials_summary.csv", tmp_path / "by_id.zip"
    summary.write_text(
        ",Composition,MaterialId,Reduced Formula,Elements,NSites,Volume,Corrected Energy,Formation Energy Per Atom\n"
        "0,Mg4O4,000aaa,MgO,\"['Mg', 'O']\",8,74.1,-53.5,-3.1\n"
        "1,Ca4O4,000bbb,CaO,\"['Ca', 'O']\",8,74.1,oops,-3.1\n"
        "2,Sr4O4,000ccc,SrO,\"['Sr', 'O']\",8,74.1,-51.5,-3.1\n"
        "3,Ba4O4,000ddd,BaO,\"['Ba', 'O']\",8,74.1,-50.5,-3.1\n"
        "4,Be4O4,000eee,BeO,\"['Be', 'O']\",8,74.1,-50.5,-3.1\n"
    )
    with zipfile.ZipFile(crystals, "w") as archive:
        for name, cation in (("000aaa", "Mg"), ("000bbb", "Ca"), ("000ccc", "Mg"), ("000eee", "Be")):
            archive.writestr(f"by_id/{name}.CIF", str(CifWriter(salt(cation))))
    return summary, crystals
