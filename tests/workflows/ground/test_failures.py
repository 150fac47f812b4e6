"""What decides by the text of a traceback: every name in it is one that Python knows."""

from __future__ import annotations

import builtins
from importlib import import_module

import pytest
from pymongo.errors import AutoReconnect

from gnome_torch.candidates.random_search.options import GeneratorMissingError
from workflows.ground.continuation import NoProgressError
from workflows.ground.failures import FORMER, NOT_RESULTS, PASSING, is_a_result
from workflows.ground.strict import SettingsError


@pytest.mark.parametrize("text", sorted({*NOT_RESULTS, *PASSING} - set(FORMER)))
def test_every_name_resolves(text: str) -> None:
    """`OSError: [Errno 28]`, `pymongo.errors.` (whatever is in it), `torch.OutOfMemoryError`."""
    name = text.partition(":")[0]
    module, _, kind = name.rpartition(".")
    owner = import_module(module) if module else builtins
    if kind:
        found = getattr(owner, kind)
        assert issubclass(found, BaseException)
        assert f"{found.__module__}.{found.__qualname__}".removeprefix("builtins.") == name or module.startswith(
            "torch"
        )


@pytest.mark.parametrize("text", FORMER)
def test_former_names_are_those_of_errors_that_we_still_have(text: str) -> None:
    """Tracebacks of earlier versions stand in databases; nothing else has taken the place of what they name."""
    assert text.rpartition(".")[2] in {"SettingsError", "NoProgressError"}
    assert text in NOT_RESULTS
    with pytest.raises(ModuleNotFoundError):
        import_module(text.rpartition(".")[0])


@pytest.mark.parametrize(
    "error",
    [
        SettingsError("theory 'gpaw': not installed"),
        NoProgressError("stopped twice"),
        GeneratorMissingError("no buildcell"),
        ImportError("no module"),
        ModuleNotFoundError("no module"),
        MemoryError(),
        KeyboardInterrupt(),
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
        AutoReconnect("connection closed"),
    ],
)
def test_these_say_nothing_about_the_crystal(error: BaseException) -> None:
    assert not is_a_result(error)


def test_torch_runs_out_of_memory() -> None:
    import torch

    assert not is_a_result(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_a_result(RuntimeError("CUDA error: device-side assert triggered"))


@pytest.mark.parametrize("error", [RuntimeError("atoms too near"), ValueError("nan"), OSError(2, "No such file")])
def test_these_do(error: BaseException) -> None:
    assert is_a_result(error)
