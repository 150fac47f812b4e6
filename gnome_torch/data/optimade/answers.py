"""What a provider answers over HTTP: within bounds, and asked again when it is busy."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from gnome_torch.data.outside import SourceError, one_line

ATTEMPTS = 4
WAIT = 2.0
"""Before a failed question is asked again, seconds, doubled each time."""
LONGEST_WAIT = 60.0
"""However long a provider asks for, seconds."""
TIMEOUT = (20.0, 120.0)
"""To connect, and between two parts of an answer, seconds."""
MOST_BYTES = 256 << 20
"""Of one answer: a page of a thousand crystals has a thousandth of it."""
MOST_WORDS = 300
"""Of a provider's own about an error, characters."""


class Provider:
    """One database of a provider.

    Args:
        base_url: its address, with or without the version.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise SourceError(f"{base_url}: no address of a provider: write https://…")
        self._versioned = self.base_url if re.search(r"/v\d+(\.\d+)*$", self.base_url) else f"{self.base_url}/v1"
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "gnome-torch"

    def address(self, endpoint: str, **query: object) -> str:
        """The address of a question; what is empty is left out of it."""
        words = {name: value for name, value in query.items() if value not in (None, "")}
        return f"{self._versioned}/{endpoint}" + (f"?{urlencode(words)}" if words else "")

    def next_page(self, answer: Mapping[str, Any], address: str) -> str | None:
        """The address of the page behind an answer, None for the last.

        Raises:
            SourceError: it is no page of this provider.
        """
        links = answer.get("links")
        link = links.get("next") if isinstance(links, Mapping) else None
        link = link.get("href") if isinstance(link, Mapping) else link
        if not link:
            return None
        following = urljoin(address, str(link))
        parts = urlsplit(following)
        if parts.scheme not in ("http", "https") or parts.hostname != urlsplit(self.base_url).hostname:
            raise SourceError(f"{self.base_url}: its next page is {following[:MOST_WORDS]!r}, which is not its own")
        return following

    def ask(self, address: str) -> dict[str, Any]:
        """The answer to a question, asked again where it failed for a passing reason.

        Raises:
            SourceError: the provider does not answer, refuses, or answers something that is no OPTIMADE.
        """
        wait, problem = WAIT, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(wait)
                wait *= 2
            try:
                with self._session.get(address, stream=True, timeout=TIMEOUT) as response:
                    if response.status_code == requests.codes.ok:
                        return _object(self._body(response))
                    problem = f"{response.status_code} {_words(self._body(response)) or response.reason}"
                    if response.status_code != 429 and response.status_code < 500:
                        break
                    wait = max(wait, min(_asked_for(response), LONGEST_WAIT))
            except requests.RequestException as error:
                problem = one_line(error)[:MOST_WORDS]
        raise SourceError(f"{self.base_url} does not answer as it should: {problem}; run it again to go on from there")

    def _body(self, response: requests.Response) -> bytes:
        """An answer's content.

        Raises:
            SourceError: there is too much of it.
        """
        body = bytearray()
        for part in response.iter_content(1 << 20):
            body += part
            if len(body) > MOST_BYTES:
                raise SourceError(f"{self.base_url}: more than {MOST_BYTES >> 20} MB in one answer: ask for less of it")
        return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        RequestException: it is none; half an answer is asked for again.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise requests.RequestException(f"its answer is no JSON: {one_line(error)}") from error
    if not isinstance(answer, dict) or "data" not in answer:
        raise requests.RequestException("its answer is none of OPTIMADE: it has no data")
    return answer


def _words(body: bytes) -> str:
    """What a provider says of an error; "" where that is no OPTIMADE."""
    try:
        errors = json.loads(body)["errors"]
        words = [str(error.get("detail") or error.get("title") or "") for error in errors]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    return " ".join("; ".join(words).split())[:MOST_WORDS]


def _asked_for(response: requests.Response) -> float:
    """How long a provider asks to wait, seconds."""
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:  # a date
        return 0.0
