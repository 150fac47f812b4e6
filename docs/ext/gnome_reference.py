"""Pages that are made from the code when the site is built: commands, campaign settings, site settings.

A page that holds the line `<!-- made from the code: NAME -->` gets the text of `PAGES[NAME]` in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MARK = re.compile(r"^<!-- made from the code: (\w+) -->$", re.MULTILINE)


# ---- commands


def commands() -> str:
    """Every command of `gnome`, with arguments, options and example."""
    import typer.main

    from launchers.cli import cli

    return "\n".join(_group(typer.main.get_command(cli.app), ["gnome"]))


def _group(command: Any, path: list[str]) -> Iterator[str]:
    """A command and everything below it: groups are sections, their commands are subsections."""
    below = getattr(command, "commands", {})
    if len(path) > 1:
        yield f"\n{'##' if len(path) == 2 else '###'} {' '.join(path)}\n"
        yield _text(command.help)
        yield from _usage(command, path, bool(below))
    # what stands alone first, so that no command seems to belong to the group before it
    for name in sorted(below, key=lambda name: (bool(getattr(below[name], "commands", {})), name)):
        yield from _group(below[name], [*path, name])


def _usage(command: Any, path: list[str], is_group: bool) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    if is_group and not command.invoke_without_command:
        return
    words = [*path, *(_metavar(p) for p in arguments), *(f"{p.opts[0]} …" for p in options if p.required)]
    yield f"\n```text\n{' '.join(words)}{' [options]' if any(not p.required for p in options) else ''}\n```\n"
    if command.params:
        yield "| | | by default | |\n|---|---|---|---|"
        for p in [*arguments, *options]:
            names = _metavar(p) if p in arguments else ", ".join([*p.opts, *p.secondary_opts])
            yield f"| `{names}` | {_kind(p)} | {_default(p)} | {_cell(p.help or '')} |"
    if command.epilog:
        yield f"\nExample:\n\n```bash\n{command.epilog.removeprefix('Example:').strip()}\n```\n"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _kind(parameter: Any) -> str:
    """What an option takes, as a reader would say it."""
    kind = parameter.type_descriptor.annotation
    if parameter.param_type_name == "option" and kind is bool:
        return "flag"
    if isinstance(kind, type) and issubclass(kind, Enum):
        words = ", ".join(f"`{member.value}`" for member in kind)
    else:
        words = {"str": "text", "int": "whole number", "float": "number", "Path": "path", "datetime": "date"}.get(
            getattr(kind, "__name__", ""), str(kind)
        )
    limits = [
        f"{word} {limit}" for word, limit in (("from", parameter.min), ("to", parameter.max)) if limit is not None
    ]
    several = "; several times" if parameter.multiple else ""
    return " ".join([words, *limits]) + several


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    value = parameter.default() if callable(parameter.default) else parameter.default
    if value in (None, False, (), []):
        return ""
    if value is True:
        return f"`{parameter.opts[0]}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


# ---- settings


def settings() -> str:
    """Every key of a campaign file, and every theory."""
    from workflows.campaign.settings import CampaignSettings
    from workflows.relax.registry import THEORIES

    lines = [*_table(CampaignSettings, ""), *_sections(CampaignSettings, "")]
    lines.append("\n## Theories\n\nOf `theory`, `prerelax`, `recheck.theory` and `compositional.search.prerelax`.\n")
    for name, (theory, _) in THEORIES.items():
        lines += [f"\n### theory: {name}\n", f"{_text(theory.__doc__)}\n"]
        lines += _table(theory, "")
    return "\n".join(lines)


def site() -> str:
    """Every key of a site file."""
    from workflows.ground.queues import Queue
    from workflows.ground.site import Site

    lines = [*_sections(Site, "", but=Queue)]
    lines += ["\n## slurm: CATEGORY\n", "`CATEGORY` is one of `control`, `generate`, `screen`, `relax`, `train`.\n"]
    lines += _table(Queue, "slurm.CATEGORY.")
    return "\n".join(lines)


def _sections(model: type[BaseModel], prefix: str, but: type[BaseModel] | None = None) -> Iterator[str]:
    """The settings within settings, a section each."""
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if inner is None or (but is not None and issubclass(inner, but)):
            continue
        yield f"\n## {prefix}{name}\n"
        yield f"{_text(inner.__doc__)}\n"
        yield from _table(inner, f"{prefix}{name}.")
        yield from _sections(inner, f"{prefix}{name}.", but)


def _table(model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield "| setting | type | by default | meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        kind = _type(field.annotation) + _limits(field)
        yield f"| `{prefix}{name}` | {kind} | {_value(field)} | {_cell(_meaning(field))} |"


def _meaning(field: FieldInfo) -> str:
    inner = _inner(field.annotation)
    return field.description or (_text(inner.__doc__).partition("\n")[0] if inner else "")


def _inner(kind: Any) -> type[BaseModel] | None:
    """The settings that a field holds, if it holds such and not one of several theories."""
    kinds = [some for some in get_args(kind) if some is not NoneType] if _is_union(kind) else [kind]
    if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel):
        return kinds[0]
    return None


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):
        return _type(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if _is_union(kind):
        inner = [some for some in arguments if some is not NoneType]
        # a union of theories is one kind of thing to a reader
        words = ["a theory"] if len(inner) > 1 else [_type(some) for some in inner]
        return ", ".join(words) + (" or empty" if NoneType in arguments else "")
    if origin is tuple:
        return f"list of {_type(arguments[0])}" if arguments[-1] is Ellipsis else f"{len(arguments)} numbers"
    if origin is dict:
        return "mapping"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    words = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _limits(field: FieldInfo) -> str:
    words = {"gt": "above", "ge": "from", "lt": "below", "le": "to", "min_length": "at least"}
    found = [
        f"{word} {getattr(some, name)}"
        for some in field.metadata
        for name, word in words.items()
        if getattr(some, name, None) is not None
    ]
    return f", {' '.join(found)}" if found else ""


def _value(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        changed = {key: getattr(value, key) for key in sorted(value.model_fields_set)}
        name = {"name": getattr(value, "name", None)} if hasattr(value, "name") else {}
        shown = ", ".join(f"{key}: {some}" for key, some in {**name, **changed}.items())
        return f"`{shown}`" if shown else ""
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


# ---- text


def _text(help: str | None) -> str:
    """Help as Markdown: without rich's tags, paragraphs not indented."""
    lines = re.sub(r"\[/?bold\]", "`", help or "").strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def _cell(text: str) -> str:
    """Text for a table: on one line, bars and angle brackets kept."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES: dict[str, Callable[[], str]] = {"commands": commands, "settings": settings, "site": site}


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Sphinx's event `source-read`."""
    source[0] = MARK.sub(lambda found: PAGES[found.group(1)](), source[0])


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
