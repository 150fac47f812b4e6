"""What is made of SLURM's answers; without SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.ground.slurm import SlurmError, slurm_jobs


def test_no_squeue_is_not_no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmError, match="squeue: not found"):
        slurm_jobs()


def test_lines_of_squeue_that_are_no_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "squeue").write_text(
        "#!/bin/sh\necho 12 RUNNING\necho '13_[1-5] PENDING'\ntest -z \"$ANSWER\" || echo $ANSWER\n"
    )
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_jobs() == {"12": "RUNNING", "13_[1-5]": "PENDING"}
    monkeypatch.setenv("ANSWER", "slurm is being serviced")
    with pytest.raises(SlurmError, match="'slurm is being serviced'"):
        slurm_jobs()
