"""What jobflow keeps: outputs of jobs, in the LaunchPad's own database.

jobflow_outputs, jobflow_data
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from workflows.store.base import Collection, Document


def job_store(database: Database[Any]) -> Any:
    """Jobflow's store, in the same database: documents in `jobflow_outputs`, large objects in `jobflow_data`."""
    from jobflow import JobStore
    from maggma.stores import MongoStore

    return JobStore(
        MongoStore.from_collection(database["jobflow_outputs"]),
        additional_stores={"data": MongoStore.from_collection(database["jobflow_data"])},
    )


class Jobs(Collection):
    """Reads of jobflow's collections."""

    name = "jobflow_outputs"

    def output(self, uuid: str) -> Document | None:
        """Output of a jobflow job, None when it has none."""
        store = job_store(self.database)
        store.connect()
        document = store.query_one({"uuid": uuid}, sort={"index": -1}, load=True)
        return document["output"] if document else None
