"""Who may ask: this machine alone, or whoever knows a password."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = "gnome"
Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class ServeError(RuntimeError):
    """Nothing can be served; one line that says why and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and for whom.

    Attributes:
        host: address of this machine.
        port: 0 for any that is free.
        password_file: its first line is the password; None for none, on this machine's own address only.
    """

    host: str
    port: int
    password_file: Path | None = None

    def password(self) -> str | None:
        """What clients must know; None for nothing.

        Raises:
            ServeError: the file cannot be used.
        """
        return None if self.password_file is None else read_password(self.password_file)

    def url(self, port: int) -> str:
        """Of the server that listens here, at the port that it was given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_password(path: Path) -> str:
    """First line of a file that nobody else may read.

    Raises:
        ServeError: it cannot be read, is empty, or others may read it.
    """
    try:
        lines = path.read_text().splitlines()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if mode & 0o077:
        raise ServeError(f"{path}: holds a password, and others may read it: chmod 600 {path}")
    if not lines or not lines[0].strip():
        raise ServeError(f"{path}: no password on its first line")
    return lines[0].strip()


def listen(address: Address, password: str | None) -> socket.socket:
    """A socket that listens.

    Raises:
        ServeError: others could reach it without a password, or the address cannot be had.
    """
    host, port = address.host, address.port
    if password is None and not is_loopback(host):
        raise ServeError(f"--host {host}: other machines reach it, so it needs a password: --password-file FILE")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeError(f"cannot listen on {host}, port {port}: {reason.lower()}: choose another --port") from None


class PasswordGate:
    """HTTP basic authentication in front of an application; the user is `gnome`.

    Args:
        application: ASGI.
        password: what it takes.
    """

    def __init__(self, application: Application, password: str) -> None:
        self.application = application
        self.expected = f"{USER}:{password}".encode()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or self._knows(dict(scope.get("headers") or ())):
            await self.application(scope, receive, send)
            return
        headers = [(b"www-authenticate", b'Basic realm="gnome", charset="UTF-8"'), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"a password is needed\n"})

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == b"basic" and secrets.compare_digest(given, self.expected)
