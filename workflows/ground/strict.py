"""Settings that forbid unknown keys, and the error of settings that cannot be used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsError(ValueError):
    """Settings that cannot be used; the message is one line per problem and names the key."""


class Strict(BaseModel):
    """Frozen, and without keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)
