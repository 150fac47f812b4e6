"""Steps that are done once, whoever and however many try."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from workflows.store import (
    Store,
    lease,
    now,
)


def test_a_step_is_done_once_and_the_others_wait_for_it(store: Store) -> None:
    done: list[str] = []
    started = threading.Barrier(6)

    def attempt() -> None:
        started.wait()
        with store.rounds.claim("c", 0, "step") as mine:
            if mine:
                time.sleep(0.5)
                done.append("work")
            # whoever gets here without the claim comes after the work
            assert done == ["work"]

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["work"]
    with store.rounds.claim("c", 0, "step") as mine:
        assert not mine
    with store.rounds.claim("c", 0, "another") as mine:
        assert mine


def test_an_error_frees_the_claim(store: Store) -> None:
    with pytest.raises(RuntimeError, match="broke"), store.rounds.claim("c", 0, "step"):
        raise RuntimeError("broke")
    with store.rounds.claim("c", 0, "step") as mine:
        assert mine


def test_a_dead_holder_loses_the_claim_after_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.database["rounds"].update_one(
        {"_id": "c/0"}, {"$set": {"claims.step": {"token": "dead", "at": now(), "done": False}}}
    )
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=1))
    begun = time.monotonic()
    with store.rounds.claim("c", 0, "step") as mine:
        assert mine
    assert 0.7 < time.monotonic() - begun < 10
