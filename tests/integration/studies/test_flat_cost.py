"""No statement of a claim or a report walks through all trials of a study."""

import re
from typing import Any

import pytest
from sqlalchemy import event, select

from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.studies.claim import Claimant, claim
from tests.studies import ended, epochs_of, opened, stored

# a table without an index, or an index of which only the study is given
WALK = re.compile(
    r"SCAN (hpsearch_|trial|stud|companions)|INDEX \S+_study_id_(state|revision) \(study_id=\?\)$"
)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_plan_of_a_claim_or_report_walks(sqlite_url: str, sampler: str) -> None:
    with opened(sqlite_url) as database:
        plans = plans_of(database, sampler)
    walks = {sql: plan for sql, plan in plans.items() if any(map(WALK.search, plan))}
    assert len(plans) > 10
    assert walks == {}


def plans_of(database: Database, sampler: str) -> dict[str, list[str]]:
    """Return SQLite's plan of every statement of a claim and its reports."""
    hand = stored(
        database,
        sampler={"name": sampler},
        pruner={"name": "median", "n_startup_trials": 1},
        limits={"max_trials": 100},
    )
    with database.read() as tx:
        history = History(tx.execute(select(tables.studies.c.study_id)).scalar_one())
    seen: dict[str, Any] = {}

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        _, _, sql, parameters, _, is_many = arguments
        seen[sql] = parameters[0] if is_many else parameters

    claimant = Claimant("worker-0", "cpu", "exact", 30.0)
    for i in range(8):
        lanes = claim(database, hand.uuid, 2, f"{i:036d}", claimant, history)
        hand.report(*(epochs_of(lane, {1: 0.5}) for lane in lanes))
        hand.report(*(ended(lane, 0.6, 2) for lane in lanes))
    event.remove(database.engine, "before_cursor_execute", note)
    explained = (sql for sql in seen if sql.split()[0] in {"SELECT", "UPDATE", "DELETE", "WITH"})
    with database.read() as tx:
        return {
            sql: [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", seen[sql])]
            for sql in explained
        }
