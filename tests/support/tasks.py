"""Firetasks for tests."""

from __future__ import annotations

from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize


@explicit_serialize
class End(FiretaskBase):
    """End at once, well or not."""

    required_params = ("well",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        if not self["well"]:
            raise RuntimeError("it did not go well")
        return FWAction()
