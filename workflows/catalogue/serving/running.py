"""The server as a process: it listens, and follows the database."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.catalogue.serving.access import Address, listen
from workflows.catalogue.serving.application import Server
from workflows.catalogue.serving.documents import AT_ONCE, prepare, refresh
from workflows.store import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflows.catalogue.serving.collection import PublishedCollection
    from workflows.store import Store


@dataclass(frozen=True)
class Pace:
    """How often the server looks at the entries, and says how far it is.

    Attributes:
        refresh_s: seconds between two looks, at least.
        rest: between two looks, times what a look takes.
        leeway: of a look at what has changed: clocks of workers differ, and a bulk of writes takes minutes.
        complete: between two looks at all entries: what somebody removes by hand tells nobody.
        tell_s: seconds until a line says how far the first look is; what it has written is served from then on.
        tell_again: how many times as late the next line comes: after each the server looks for all ids anew.
        at_once: entries of a look at the database.
    """

    refresh_s: float = 300.0
    rest: float = 20
    leeway: timedelta = timedelta(hours=1)
    complete: timedelta = timedelta(days=1)
    tell_s: float = 10.0
    tell_again: float = 2
    at_once: int = AT_ONCE


def serve(
    store: Store,
    campaign: str | None,
    address: Address,
    report: Path | None,
    pace: Pace,
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted.

    Args:
        store: the database.
        campaign: serve this campaign's structures only; None for those of all.
        address: to listen on.
        report: directory of static files, served under /report.
        pace: of the looks at the entries.
        say: told, in lines, when it listens and how many structures it serves.

    Raises:
        ServeError: nothing can be served.
        StoreError: no such campaign.
    """
    if campaign is not None:
        store.campaigns.get(campaign)
    password = address.password()
    with listen(address, password) as listener:
        server = Server(store, campaign, password, report)
        prepare(store)
        import uvicorn

        say(f"listening at {address.url(listener.getsockname()[1])}/v1/structures; Ctrl-C stops")
        stop = threading.Event()
        follower = Follower(store, server.structures, say, pace)
        threading.Thread(target=follower.run, args=(stop,), daemon=True).start()
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
        pace: of the looks.
    """

    def __init__(self, store: Store, structures: PublishedCollection, say: Callable[[str], None], pace: Pace) -> None:
        self.store = store
        self.structures = structures
        self.say = say
        self.pace = pace
        self.state = ""

    def run(self, stop: threading.Event) -> None:
        """Look at the entries again and again; a look that fails is told, and the next may not."""
        complete = since = None  # when the last look at everything, and the last look, began
        wait = 0.0
        while not stop.wait(wait):
            begun = now()
            everything = complete is None or begun - complete > self.pace.complete
            try:
                if complete is None:
                    self.begin()
                else:
                    self.look(None if everything else since)
                complete = begun if everything else complete
                since = begun - self.pace.leeway
            except Exception as error:
                everything = False  # not too soon again
                with suppress(OSError):  # nobody reads it any more
                    print(f"gnome: the structures are not renewed: {' '.join(str(error).split())}", file=sys.stderr)
            took = (now() - begun).total_seconds()
            wait = self.pace.refresh_s if everything else max(self.pace.refresh_s, self.pace.rest * took)

    def begin(self) -> None:
        """Look at all entries; what has been written is served meanwhile, and every answer warns of what has not."""
        self.structures.notice = "the structures are being brought up to date: some are missing yet, or out of date"
        begun, tell_at = time.monotonic(), self.pace.tell_s

        def progress(written: int, looked_at: float) -> None:
            nonlocal tell_at
            if (passed := time.monotonic() - begun) > tell_at:
                tell_at = self.pace.tell_again * passed
                self.structures.forget()
                rate = f"{written / passed:.0f} a second"
                self.tell(f"{written:,} structures written, {rate}; {looked_at:.0%} of the entries looked at")

        self.look(None, progress)
        self.structures.notice = None
        count = len(self.structures)
        self.tell(f"{count:,} structures are served" if count else "0 structures are served: none is computed yet")

    def tell(self, line: str) -> None:
        """Say a line; that nobody reads it any more stops nothing."""
        with suppress(OSError):
            self.say(line)

    def look(self, since: datetime | None, tell: Callable[[int, float], None] = lambda *_: None) -> None:
        """Look at the entries that may have changed since a moment; None for all of them."""
        state = refresh(self.store, since, tell, self.pace.at_once).state
        if state != self.state:
            self.structures.forget()
            self.state = state
