"""Studies that benchmarks fill in bulk have the rows the verbs write."""

from typing import Any

from sqlalchemy import select

from benchmarks.filling import CHILDREN, N_BY_VERBS, PACK, fill, finish_by_verbs
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.studies.read import get_study
from tests.studies import stored

N = N_BY_VERBS + 2 * PACK
DIFFERENT = {
    *("token", "claim_id", "uuid", "tally", "tally_revision", "running_s", "active_since"),
    *("started_at", "finished_at", "lease_expires_at", "created_at", "updated_at"),
    *("datetime_start", "datetime_complete"),
    *("param_id", "trial_value_id", "trial_intermediate_value_id"),
}


def rows(database: Database) -> dict[str, list[str]]:
    with database.read() as tx:
        return {
            table.name: sorted(
                str({name: value for name, value in row.items() if name not in DIFFERENT})
                for row in tx.execute(select(table)).mappings()
            )
            for table in (
                *(tables.optuna_trials, tables.trials, tables.attempts, *CHILDREN),
                *(tables.studies, tables.owners),
            )
        }


def test_bulk_rows_are_those_of_the_verbs(sqlite_url: str, tmp_path: Any) -> None:
    from shutil import copy

    other_url = f"sqlite:///{tmp_path / 'other.db'}"
    copy(sqlite_url.removeprefix("sqlite:///"), tmp_path / "other.db")
    by_verbs, in_bulk = Database(sqlite_url), Database(other_url)
    limits = {"max_trials": 10_000}

    finish_by_verbs(stored(by_verbs, limits=limits), N)
    hand = stored(in_bulk, limits=limits)
    fill(in_bulk, hand, N)

    assert rows(in_bulk) == rows(by_verbs)
    assert get_study(in_bulk, "study").counts == get_study(by_verbs, "study").counts
    assert [trial.number for trial in hand.claim(2)] == [N, N + 1]
    by_verbs.dispose()
    in_bulk.dispose()
