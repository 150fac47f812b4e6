"""The server as a process: it listens, and follows the database."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.serving.access import listen, read_password
from workflows.serving.application import Server
from workflows.serving.documents import refresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflows.store import Store


QUIET = 20  # between two looks at the entries, times what a look takes


def serve(
    store: Store,
    campaign: str | None,
    host: str,
    port: int,
    password_file: Path | None,
    report: Path | None,
    refresh_s: float,
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted.

    Args:
        store: the database.
        campaign: serve this campaign's structures only; None for those of all.
        host: address to listen on.
        port: 0 for any that is free.
        password_file: its first line is the password; None for none, on this machine's own address only.
        report: directory of static files, served under /report.
        refresh_s: seconds between looks at the entries.
        say: told once, in a line, when it listens.

    Raises:
        ServeError: nothing can be served.
        StoreError: no such campaign.
    """
    if campaign is not None:
        store.campaign(campaign)
    password = None if password_file is None else read_password(password_file)
    with listen(host, port, password) as listener:
        state = refresh(store).state
        server = Server(store, campaign, password, report)
        import uvicorn

        where = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        say(f"{len(server.collections['structures']):,} structures at {where}/v1/structures; Ctrl-C stops")
        stop = threading.Event()
        follower = threading.Thread(target=_follow, args=(store, server, state, refresh_s, stop), daemon=True)
        follower.start()
        try:
            uvicorn.Server(uvicorn.Config(server.application, log_level="warning", access_log=False)).run([listener])
        finally:
            stop.set()


def _follow(store: Store, server: Server, state: str, refresh_s: float, stop: threading.Event) -> None:
    """Look at the entries again and again; a look that fails is told, and the next may not."""
    wait = refresh_s
    while not stop.wait(wait):
        begun = time.monotonic()
        try:
            now = refresh(store).state
            if now != state:
                state = now
                server.forget()
        except Exception as error:
            print(f"gnome: the structures are not renewed: {' '.join(str(error).split())}", file=sys.stderr)
        wait = max(refresh_s, QUIET * (time.monotonic() - begun))
