"""The pages of the documentation, their code blocks, and how those are run."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
NOT_EXECUTED = re.compile(r"<!-- not executed: (.+) -->")
FILE = re.compile(r"# (\S+\.(?:py|yaml|toml|csv))$")
"""First line of a block that is the content of a file."""
EXECUTED, WRITTEN = ("python", "bash"), ("python", "yaml", "toml")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: where.
        line: of the fence, from 1.
        language: as the fence says.
        text: what is in it.
        reason: why it is not executed; empty where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """Name of the file that it is the content of; empty where it is none."""
        found = FILE.match(self.text.partition("\n")[0])
        return found.group(1) if found and self.language in WRITTEN else ""


def pages() -> list[Path]:
    """README and every page of the site."""
    return [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order; an indented one has the language "indented"."""
    tokens = MarkdownIt().parse(page.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "code_block":
            yield Block(page, (token.map or [0])[0] + 1, "indented", token.content, "")
        if token.type == "fence":
            found = NOT_EXECUTED.search(before.content) if before is not None and before.type == "html_block" else None
            reason = found.group(1) if found else ""
            yield Block(page, (token.map or [0])[0] + 1, token.info.strip(), token.content, reason)


class Reader:
    """Somebody who does what a page says, block after block, in one directory and one Python session."""

    def __init__(self, desk: Path) -> None:
        self.desk = desk
        self.names: dict[str, Any] = {"__name__": "reader"}

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: a command failed.
            Exception: whatever Python raised.
        """
        if block.reason:
            return
        if block.file:
            path = self.desk / Path(block.file).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python":
            lines = "\n" * block.line  # so that a traceback names the line of the page
            exec(compile(lines + block.text, str(block.page), "exec"), self.names)
        elif block.language == "bash":
            for command in _commands(block.text):
                status, output = self._run(command)
                assert status == 0, f"{block.name}: {command}\nstatus {status}\n{output}"

    def _run(self, command: str) -> tuple[int, str]:
        """A line: by `gnome`'s own entry point if that is all it is (starting Python takes seconds), else by bash."""
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.wordchars += "{}:,@+"
        words = list(lexer)
        if words[0] == "gnome" and not any(set(word) <= set("();<>|&") for word in words):
            return _gnome([str(Path(word).expanduser()) if word.startswith("~") else word for word in words])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=self.desk, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr


def _commands(text: str) -> list[str]:
    """Lines of a block, continued ones joined; what sets something for the next lines stays together with them."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    return ["\n".join(lines)] if any(line.startswith(("cd ", "export ")) for line in lines) else lines


def _gnome(words: list[str]) -> tuple[int, str]:
    from launchers.cli import main

    output = io.StringIO()
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), output.getvalue()
    return 0, output.getvalue()
