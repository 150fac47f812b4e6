"""The site: built without a warning and without a network, every page reachable, every link good, nothing left out."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from pages import ROOT
from pydantic import BaseModel

from launchers.cli import cli
from workflows.campaign.settings import CampaignSettings
from workflows.ground.queues import Queue
from workflows.ground.site import Site
from workflows.ground.strict import Strict
from workflows.relax.registry import THEORIES

BUILD = """
import socket, sys
def refuse(*args): raise OSError("the site needs no network")
socket.socket.connect = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""
OPTIONS = ["--quiet", "--fail-on-warning", "--keep-going", "--nitpicky"]
MADE_BY_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}


class Page(HTMLParser):
    """What a page of the site has: links, anchors, and what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img") and "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and "stylesheet" in found.get("rel", ""):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Every page of the site by its path."""
    directory = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-c",
        BUILD,
        *OPTIONS,
        "-d",
        str(directory / "doctrees"),
        "docs",
        str(directory / "html"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not done.stderr
    html = directory / "html"
    return {str(path.relative_to(html)): Page(path.read_text()) for path in html.rglob("*.html")}


@pytest.mark.xdist_group("site")
def test_every_page_is_reached_from_the_first(site: dict[str, Page]) -> None:
    written = {str(p.relative_to(ROOT / "docs").with_suffix(".html")) for p in (ROOT / "docs").rglob("*.md")}
    assert {name for name in written if not name.startswith("_build")} <= site.keys()
    assert not written & MADE_BY_SPHINX, "Sphinx writes its own page over it"
    reached, ahead = set(), ["index.html"]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += [target for target, _ in inner_links(name, site[name]) if target in site]
    assert site.keys() - reached - MADE_BY_SPHINX == set()


@pytest.mark.xdist_group("site")
def test_links_and_anchors_are_good(site: dict[str, Page]) -> None:
    broken = [
        f"{name}: {target}#{anchor}"
        for name, page in site.items()
        for target, anchor in inner_links(name, page)
        if target.endswith(".html") and (target not in site or (anchor and anchor not in site[target].anchors))
    ]
    assert not broken
    assert sum(len(page.links) for page in site.values()) > 500


@pytest.mark.xdist_group("site")
def test_a_browser_loads_nothing_from_elsewhere(site: dict[str, Page]) -> None:
    assert not [source for page in site.values() for source in page.loaded if "//" in source]


def inner_links(name: str, page: Page) -> Iterator[tuple[str, str]]:
    """Path of the page and anchor of each link within the site."""
    for link in page.links:
        path, _, anchor = link.partition("#")
        if ":" not in path:
            here = Path("/") / name
            target = (here.parent / path).resolve() if path else here
            yield str(target.relative_to("/")), anchor


def test_links_of_the_readme_are_good() -> None:
    from markdown_it import MarkdownIt

    tokens = [child for token in MarkdownIt().parse((ROOT / "README.md").read_text()) for child in token.children or []]
    links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
    assert links
    assert not [link for link in links if ":" not in link and not (ROOT / link.partition("#")[0]).exists()]


# ---- what is made from the code


def kinds_of_settings(of: type[BaseModel] = Strict) -> Iterator[type[BaseModel]]:
    """Everything that a user writes into a file, and that this program has loaded."""
    for kind in of.__subclasses__():
        if kind.__module__.startswith("workflows."):
            yield kind
            yield from kinds_of_settings(kind)


def test_every_setting_says_what_it_means() -> None:
    kinds = set(kinds_of_settings())
    assert {CampaignSettings, Site, Queue, *(kind for kind, _ in THEORIES.values())} <= kinds
    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, field in kind.model_fields.items()
        # what holds settings says it in the description of its class, the name of a theory in that of the theory
        if not meaning(kind, name)
        and inner(field.annotation) is None
        and not (name == "name" and "Theory" in str(kind))
    ]
    assert not silent
    assert not [kind.__name__ for kind in kinds if not kind.__doc__]


def meaning(kind: type[BaseModel], name: str) -> str:
    """Description of a setting, there or in the class whose default it changes."""
    above = [base.model_fields for base in kind.__mro__ if issubclass(base, BaseModel)]
    return next((fields[name].description or "" for fields in above if name in fields and fields[name].description), "")


def inner(annotation: Any) -> type[BaseModel] | None:
    """Settings within settings."""
    kinds = [some for some in get_args(annotation) if some is not type(None)] or [annotation]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel) else None


def all_commands(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    if below := getattr(command, "commands", {}):
        for name, one in below.items():
            yield from all_commands(one, [*path, name])
    else:
        yield path, command


COMMANDS = list(all_commands(typer.main.get_command(cli.app), ["gnome"]))


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_the_example_of_a_command_is_one(path: list[str], command: Any) -> None:
    """Its words are those of the command, and it knows the options."""
    assert command.help
    assert all(parameter.help for parameter in command.params if parameter.param_type_name == "option")
    lexer = shlex.shlex(command.epilog.removeprefix("Example: "), posix=True, punctuation_chars=True)
    words = list(lexer)
    assert words[: len(path)] == path
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    end = next((i for i, word in enumerate(words) if set(word) <= set("();<>|&")), len(words))
    assert {word.partition("=")[0] for word in words[:end] if word.startswith("-")} <= known


@pytest.mark.xdist_group("site")
def test_every_command_and_setting_is_on_the_site(site: dict[str, Page]) -> None:
    assert {"-".join(path) for path, _ in COMMANDS} <= site["reference/commands.html"].anchors
    assert {"seeds", "compositional-search", "theory-vasp-pbe-mp"} <= site["reference/settings.html"].anchors
    assert "slurm-category" in site["reference/site.html"].anchors
