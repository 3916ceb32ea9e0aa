"""Who runs a study's preflight, and where its findings go: one worker, once, never waited for."""

from datetime import timedelta

from pydantic import TypeAdapter

from hpsearch.spec.findings import Finding, PreflightView, Severity
from hpsearch.spec.states import StateReason
from hpsearch.storage import owners, studies
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.fail import fail_study

DATA_CHECKS = frozenset({"finite", "classes", "targets", "sizes", "features"})
"""Checks of the data alone: what fails them is the data set's fault."""

_VIEW = TypeAdapter(PreflightView)


def begin_preflight(database: Database, uuid: str, device: str, life_s: float) -> bool:
    """Return whether the caller is the one worker that runs this study's preflight now.

    Everybody else goes on training. If whoever began has not come back after ``life_s``, its
    process died of it or beside it: that is recorded in place of findings, and nobody tries
    again, so that a preflight that kills cannot do so twice.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None or study.state.has_ended or study.preflight is not None:
            return False
        at = now(tx)
        if study.preflight_until is None:
            until = at + timedelta(seconds=life_s)
            studies.update_study(tx, study, preflight_until=until)
            return True
        if study.preflight_until < at:
            reason = "could not run: the worker was lost in it; `hpsearch preflight` runs it again"
            lost = Finding("preflight", Severity.SKIPPED, reason)
            _record(tx, study, PreflightView(device, 0.0, at, (lost,)))
        return False


def leave_preflight(database: Database, uuid: str) -> None:
    """Let another worker run the preflight this one had to break off."""
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is not None:
            studies.update_study(tx, study, preflight_until=None)


def record_preflight(database: Database, uuid: str, found: PreflightView) -> bool:
    """Store the findings and return whether the study can go on.

    Warnings join the study's. The time counts towards the study's budget and its owner's share,
    and towards no trial. A failure ends the study.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return False
        if study.preflight is None:
            _record(tx, study, found)
    failures = [f for f in found.findings if f.severity is Severity.FAILURE]
    for failure in failures[:1]:
        is_data = failure.check in DATA_CHECKS
        reason = StateReason.DATASET if is_data else StateReason.PREFLIGHT
        fail_study(database, uuid, reason, worded(failure))
    return not failures


def read_preflight(study: StudyRecord) -> PreflightView | None:
    """Return what was found, None if the preflight has not run yet."""
    return None if study.preflight is None else _VIEW.validate_python(study.preflight)


def preflight_seconds(study: StudyRecord) -> float:
    """Return the part of a study's device-seconds that belongs to no trial."""
    return 0.0 if study.preflight is None else float(study.preflight["device_seconds"])


def worded(finding: Finding) -> str:
    """Return a finding as one of the study's warnings."""
    return f"preflight, {finding.check}: {finding.message}"


def _record(tx: Transaction, study: StudyRecord, found: PreflightView) -> None:
    warnings = [worded(f) for f in found.findings if f.severity is Severity.WARNING]
    studies.update_study(
        tx,
        study,
        preflight=_VIEW.dump_python(found, mode="json"),
        preflight_until=None,
        warnings=[*study.warnings, *warnings],
    )
    studies.raise_revision(tx, study)
    studies.add_usage(tx, study, found.device_seconds, study.definition["weight"])
    owners.charge(tx, study.owner, found.device_seconds)
