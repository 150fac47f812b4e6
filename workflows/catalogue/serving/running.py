"""The server as a process: it listens, and follows the database."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.catalogue.serving.access import listen, read_password
from workflows.catalogue.serving.application import Server
from workflows.catalogue.serving.documents import prepare, refresh
from workflows.store import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflows.catalogue.serving.collection import PublishedCollection
    from workflows.store import Store


QUIET = 20  # between two looks at the entries, times what a look takes
LEEWAY = timedelta(hours=1)  # clocks of workers differ, and a bulk of writes takes minutes
COMPLETE = timedelta(days=1)  # between two looks at all entries: what somebody removes by hand tells nobody
TELL_S = 10.0  # until a line says how far the first look is; what it has written is served from then on
TELL_AGAIN = 2  # times as late: after every line the server looks for all ids anew


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
        say: told, in lines, when it listens and how many structures it serves.

    Raises:
        ServeError: nothing can be served.
        StoreError: no such campaign.
    """
    if campaign is not None:
        store.campaigns.get(campaign)
    password = None if password_file is None else read_password(password_file)
    with listen(host, port, password) as listener:
        server = Server(store, campaign, password, report)
        prepare(store)
        import uvicorn

        where = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        say(f"listening at {where}/v1/structures; Ctrl-C stops")
        stop = threading.Event()
        follower = Follower(store, server.structures, say)
        threading.Thread(target=follower.run, args=(refresh_s, stop), daemon=True).start()
        try:
            uvicorn.Server(uvicorn.Config(server.application, log_level="warning", access_log=False)).run([listener])
        finally:
            stop.set()


class Follower:
    """Keeps what is served up to what the entries say.

    Args:
        store: the database.
        structures: what is served.
        say: told, in a line, how far the first look is.
    """

    def __init__(self, store: Store, structures: PublishedCollection, say: Callable[[str], None]) -> None:
        self.store = store
        self.structures = structures
        self.say = say
        self.state = ""

    def run(self, refresh_s: float, stop: threading.Event) -> None:
        """Look at the entries again and again; a look that fails is told, and the next may not."""
        complete = since = None  # when the last look at everything, and the last look, began
        wait = 0.0
        while not stop.wait(wait):
            begun = now()
            everything = complete is None or begun - complete > COMPLETE
            try:
                if complete is None:
                    self.begin()
                else:
                    self.look(None if everything else since)
                complete = begun if everything else complete
                since = begun - LEEWAY
            except Exception as error:
                everything = False  # not too soon again
                with suppress(OSError):  # nobody reads it any more
                    print(f"gnome: the structures are not renewed: {' '.join(str(error).split())}", file=sys.stderr)
            wait = refresh_s if everything else max(refresh_s, QUIET * (now() - begun).total_seconds())

    def begin(self) -> None:
        """Look at all entries; what has been written is served meanwhile, and every answer warns of what has not."""
        self.structures.notice = "the structures are being brought up to date: some are missing yet, or out of date"
        begun, tell_at = time.monotonic(), TELL_S

        def progress(written: int, looked_at: float) -> None:
            nonlocal tell_at
            if (passed := time.monotonic() - begun) > tell_at:
                tell_at = TELL_AGAIN * passed
                self.structures.forget()
                rate = f"{written / passed:.0f} a second"
                self.tell(f"{written:,} structures written, {rate}; {looked_at:.0%} of the entries looked at")

        self.look(None, progress)
        self.structures.notice = None
        found = len(self.structures)
        self.tell(f"{found:,} structures are served" if found else "0 structures are served: none is computed yet")

    def tell(self, line: str) -> None:
        """Say a line; that nobody reads it any more stops nothing."""
        with suppress(OSError):
            self.say(line)

    def look(self, since: datetime | None, tell: Callable[[int, float], None] = lambda *_: None) -> None:
        """Look at the entries that may have changed since a moment; None for all of them."""
        state = refresh(self.store, since, tell).state
        if state != self.state:
            self.structures.forget()
            self.state = state
