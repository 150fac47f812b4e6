"""Settings that forbid unknown keys, and the error of settings that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PLAIN = {"tuple_type": "write a list, in square brackets"}
"""pydantic's words for what users get wrong most, in ours."""


class SettingsError(ValueError):
    """Settings that cannot be used; the message is one line per problem and names the key."""


class Strict(BaseModel):
    """Frozen, and without keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Settings = TypeVar("Settings", bound=Strict)


def validated(
    kind: type[Settings], data: object, where: str, words: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Settings from plain data.

    Args:
        kind: of the settings.
        data: as YAML or JSON has it.
        where: the data are from, such as a file.
        words: for kinds of problems, in the place of pydantic's.

    Raises:
        SettingsError: one line per problem, each with `where`, the key, the value and what is wrong.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_line(where, problem, {**PLAIN, **words}) for problem in error.errors())
        ) from None


def _line(where: str, problem: ErrorDetails, words: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "settings"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}': remove it, or check its spelling"
    if problem["type"] == "missing":
        return f"{where}: key '{key}' is missing"
    if problem["type"] == "value_error":
        return f"{where}: {key}: {message}" if problem["loc"] else f"{where}: {message}"
    return f"{where}: {key} = {problem['input']!r}: {words.get(problem['type'], message)}"
