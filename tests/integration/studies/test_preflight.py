from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from hpsearch.spec.findings import Finding, PreflightView, Severity
from hpsearch.spec.states import StudyState
from hpsearch.storage import owners, studies
from hpsearch.storage.database import Database
from hpsearch.studies.control import cancel
from hpsearch.studies.preflight import begin_preflight, leave_preflight, record_preflight
from hpsearch.studies.read import get_study
from tests.studies import ended, stored

OK = Finding("sizes", Severity.OK, "enough", 100.0, "30")
WARNING = Finding("initial_loss", Severity.WARNING, "use model.init: he", 179.0, "about 2.3")


def found(*findings: Finding, seconds: float = 0.5) -> PreflightView:
    return PreflightView("cpu", seconds, datetime.now(UTC), findings)


def test_one_of_many_workers_runs_the_preflight(database: Database) -> None:
    uuid = stored(database).uuid

    with ThreadPoolExecutor(6) as pool:
        begun = list(pool.map(lambda _: begin_preflight(database, uuid, "cpu", 60.0), range(6)))

    assert sum(begun) == 1


def test_what_was_found_is_on_the_study_and_warnings_are_among_its_warnings(
    database: Database,
) -> None:
    uuid = stored(database).uuid
    assert get_study(database, "study").preflight is None
    assert begin_preflight(database, uuid, "cpu", 60.0)
    result = found(OK, WARNING)

    assert record_preflight(database, uuid, result)

    study = get_study(database, "study")
    assert study.preflight == result
    assert study.state is StudyState.ACTIVE
    assert study.warnings == ("preflight, initial_loss: use model.init: he",)
    assert not begin_preflight(database, uuid, "cpu", 60.0)


def test_findings_are_written_once(database: Database) -> None:
    uuid = stored(database).uuid
    first = found(WARNING)
    record_preflight(database, uuid, first)

    record_preflight(database, uuid, found(OK, WARNING))

    study = get_study(database, "study")
    assert (study.preflight, len(study.warnings)) == (first, 1)


@pytest.mark.parametrize(
    ("check", "reason"), [("finite", "DATASET"), ("initial_loss", "PREFLIGHT")]
)
def test_a_failure_ends_the_study_and_says_why(
    database: Database, check: str, reason: str
) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]  # another worker has begun already

    assert not record_preflight(
        database, hand.uuid, found(Finding(check, Severity.FAILURE, "no way"))
    )

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (StudyState.FAILED, reason)
    assert study.warnings[-1].endswith(f"{check}: no way")
    assert study.preflight is not None
    assert study.counts.running == 0
    hand.finish(trial)
    assert get_study(database, "study").state is StudyState.FAILED


def test_its_time_is_in_the_budget_and_the_shares_and_in_no_trials_usage(
    database: Database,
) -> None:
    hand = stored(database, limits={"device_seconds": 5}, weight=2.0)
    record_preflight(database, hand.uuid, found(OK, seconds=4.5))

    with database.read() as tx:
        record = studies.get_study(tx, "study")
        assert owners.virtual_times(tx)["admin"] == pytest.approx(4.5)
    assert record.virtual_time == pytest.approx(4.5 / 2)
    study = get_study(database, "study")
    assert study.usage.device_seconds == 0
    assert study.progress.fraction == pytest.approx(0.9)
    hand.report(ended(hand.claim(1)[0], 0.5, device_seconds=1.0))
    study = get_study(database, "study")
    assert (study.state_reason, study.usage.device_seconds) == ("DEVICE_BUDGET", 1.0)


def test_one_that_had_to_leave_is_followed_by_another(database: Database) -> None:
    uuid = stored(database).uuid
    assert begin_preflight(database, uuid, "cpu", 60.0)

    leave_preflight(database, uuid)

    assert begin_preflight(database, uuid, "cpu", 60.0)


def test_one_that_never_comes_back_is_told_and_not_repeated(database: Database) -> None:
    uuid = stored(database).uuid
    assert begin_preflight(database, uuid, "cpu", -1.0)  # its time is over at once

    assert not begin_preflight(database, uuid, "cpu", 60.0)

    study = get_study(database, "study")
    assert study.state is StudyState.ACTIVE
    assert study.warnings == ()
    assert study.preflight is not None
    (finding,) = study.preflight.findings
    assert (finding.check, finding.severity) == ("preflight", Severity.SKIPPED)
    assert "could not run" in finding.message


def test_a_study_that_has_ended_has_no_preflight(database: Database) -> None:
    uuid = stored(database).uuid
    cancel(database, "study")
    assert not begin_preflight(database, uuid, "cpu", 60.0)


def test_a_study_that_is_gone_has_no_preflight(database: Database) -> None:
    assert not begin_preflight(database, "gone", "cpu", 60.0)
    assert not record_preflight(database, "gone", found(OK))
    leave_preflight(database, "gone")
