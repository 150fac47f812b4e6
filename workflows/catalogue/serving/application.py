"""optimade's server over our documents, as an ASGI application."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.catalogue.licences import NO_COMMERCE, imported
from workflows.catalogue.serving.access import PasswordGate, ServeError
from workflows.catalogue.serving.fields import PREFIX, PROPERTIES

if TYPE_CHECKING:
    from workflows.store import Store

PAGE_LIMIT = 100
PAGE_LIMIT_MAX = 1000


class Server:
    """An ASGI application (`.application`) and what it reads.

    Args:
        store: the database, with its documents.
        campaign: serve this campaign's structures only; None for those of all.
        password: who does not know it is refused; None where only this machine is asked.
        report: directory of static files, served under /report.

    Raises:
        ServeError: optimade's server is not installed, or there is no such report.
    """

    def __init__(self, store: Store, campaign: str | None, password: str | None, report: Path | None) -> None:
        if report is not None and not (report / "index.html").is_file():
            raise ServeError(f"--report {report}: no index.html in it")
        _log_to_stderr()
        try:
            from fastapi.middleware.cors import CORSMiddleware
            from fastapi.middleware.trustedhost import TrustedHostMiddleware
            from fastapi.staticfiles import StaticFiles
            from optimade.models import LinksResource, ReferenceResource, StructureResource
            from optimade.server.create_app import create_app
            from optimade.server.mappers import LinksMapper, ReferenceMapper, StructureMapper

            from workflows.catalogue.serving.collection import PublishedCollection
        except ImportError as error:
            raise ServeError(
                f"optimade's server is not installed ({error.name}): pip install 'gnome-torch[serve]'"
            ) from None
        config = _configuration(store, campaign)
        scope = {} if campaign is None else {f"_{PREFIX}_campaigns": campaign}
        kinds = {
            "links": (LinksResource, LinksMapper, {}),
            "references": (ReferenceResource, ReferenceMapper, {}),
            "structures": (StructureResource, StructureMapper, scope),
        }
        self.collections = {
            kind: PublishedCollection(store.published.collection(kind), resource, mapper(config), config, within)
            for kind, (resource, mapper, within) in kinds.items()
        }
        self.structures = self.collections["structures"]
        app = create_app(config)
        app.state.entry_collections = self.collections
        # without a password, no page that the user looks at in a browser may read what is served
        app.user_middleware = [added for added in app.user_middleware if added.cls is not CORSMiddleware]
        if password is None:
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        if report is not None:
            app.mount("/report", StaticFiles(directory=report, html=True))
        self.application: Any = app if password is None else PasswordGate(app, password)


def _configuration(store: Store, campaign: str | None) -> Any:
    from optimade.server.config import ServerConfig, SupportedBackend

    what = f"campaign {campaign}" if campaign else "all campaigns"
    return ServerConfig(
        # its own collections, which ours replace, are to connect to nothing
        database_backend=SupportedBackend.MONGOMOCK,
        insert_test_data=False,
        insert_from_jsonl=None,
        aliases={},
        length_aliases={},
        provider={
            "prefix": PREFIX,
            "name": "gnome-torch",
            # with every answer; the package's own field for a licence asks another server whether it exists
            "description": f"Phases that gnome-torch has found: {what} of database {store.database.name}"
            + _rests_on(store, campaign),
        },
        provider_fields={"structures": [served.definition() for served in PROPERTIES]},
        implementation={"name": "gnome-torch", "version": version("gnome-torch")},
        page_limit=PAGE_LIMIT,
        page_limit_max=PAGE_LIMIT_MAX,
    )


def _rests_on(store: Store, campaign: str | None) -> str:
    """The licences of imported data that the distances to hulls rest on, in words."""
    campaigns = [store.campaigns.get(campaign)] if campaign else store.campaigns.all()
    rows = [row for c in campaigns for row in imported(store, c["theory"], c["settings"].get("elements", ()))]
    theirs = "; ".join(sorted({str(row) for row in rows}))
    commerce = f" ({NO_COMMERCE})" if any(row.forbids_commerce for row in rows) else ""
    return f". Distances to hulls rest on data of others{commerce}: {theirs}" if theirs else ""


def _log_to_stderr() -> None:
    """Give optimade's log a handler before optimade does, which would also write files to /var/log."""
    log = logging.getLogger("optimade")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.ERROR)
        log.addHandler(handler)
