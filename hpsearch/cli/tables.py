"""Studies, trials and one of each as tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from hpsearch.cli.console import (
    format_duration,
    format_number,
    format_params,
    format_time,
    format_values,
)
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import EpochView, StudyView, TrialSummary, TrialView, WorkerView

WIDE = 100  # columns of a terminal that shows everything
MAX_NUMBERS = 8  # trials of one worker named
MAX_WORD = 40  # columns kept for one parameter in any case
STATE_STYLES = {
    "ACTIVE": "green",
    "COMPLETED": "bold green",
    "COMPLETE": "green",
    "RUNNING": "cyan",
    "PAUSED": "yellow",
    "STOPPING": "yellow",
    "STOPPED": "yellow",
    "PRUNED": "yellow",
    "CANCELLED": "red",
    "FAILED": "bold red",
    "FAIL": "red",
}


def study_table(studies: Iterable[StudyView]) -> Table:
    """Return one row a study."""
    table = _table("name", "state", "trials", "best", "created")
    for study in studies:
        best = study.best_trials[0].values if study.best_trials else None
        table.add_row(
            escape(study.name),
            _styled(study.state, study.state_reason),
            trial_count(study),
            format_values(best) or "-",
            format_time(study.created_at),
        )
    return table


def trial_table(trials: Iterable[TrialSummary], *, width: int, title: str | None = None) -> Table:
    """Return one row a trial, a column for each objective and for the test accuracy (or loss).

    Args:
        trials: The rows, in their order.
        width: Columns of the terminal; on a narrow one the least useful columns go.
        title: Printed above.
    """
    trials = list(trials)
    metrics = _keys(trial.values for trial in trials)
    tests = _keys(trial.test for trial in trials)
    tests = [name for name in tests if name == "accuracy"] or tests
    with_state = any(trial.state is not TrialState.COMPLETE for trial in trials)
    with_time = width >= WIDE
    heads = ["trial", *(["state"] if with_state else []), *metrics]
    heads += [*(f"test {name}" for name in tests), "epochs", *(["time"] if with_time else [])]
    table = _table(*heads, title=title)
    for column in table.columns:
        column.no_wrap = True
    params = [format_params(trial.params) for trial in trials]
    longest = max((len(word) for text in params for word in text.split()), default=0)
    table.add_column("parameters", header_style="dim", min_width=min(longest, MAX_WORD))
    for trial, text in zip(trials, params, strict=True):
        why = str(trial.failure.kind) if trial.failure else None
        table.add_row(
            str(trial.number),
            *([_styled(trial.state, why)] if with_state else []),
            *(format_number((trial.values or {}).get(name)) for name in metrics),
            *(format_number((trial.test or {}).get(name)) for name in tests),
            str(trial.epochs),
            *([format_duration(trial.device_seconds)] if with_time else []),
            escape(text) or "-",
        )
    return table


def study_details(study: StudyView) -> Table:
    """Return one study, a line for each thing worth knowing."""
    usage, counts = study.usage, study.counts
    table = _details()
    table.add_row("study", f"[bold]{escape(study.name)}")
    table.add_row("state", _styled(study.state, study.state_reason))
    if study.description:
        table.add_row("description", escape(study.description))
    if study.tags:
        table.add_row("tags", escape(", ".join(study.tags)))
    table.add_row(
        "trials",
        f"{trial_count(study)} finished: {counts.complete} complete, {counts.pruned} pruned, "
        f"{counts.fail} failed; {counts.running} running, {counts.waiting} waiting",
    )
    if study.progress.eta_s is not None:
        table.add_row("left", f"about {format_duration(study.progress.eta_s)}")
    table.add_row(
        "device time",
        f"{format_duration(usage.device_seconds)} ({format_duration(usage.saved)} saved)",
    )
    for trial in study.best_trials[:5]:
        params = format_params(trial.params)
        best = f"trial {trial.number}: {format_values(trial.values)}"
        table.add_row("best", escape(f"{best}  ({params})" if params else best))
    table.add_row("created", format_time(study.created_at))
    if study.finished_at is not None:
        table.add_row("finished", format_time(study.finished_at))
    for warning in study.warnings:
        table.add_row("[yellow]warning", escape(warning))
    return table


def trial_details(trial: TrialSummary) -> Table:
    """Return one trial, a line for each thing worth knowing."""
    table = _details()
    table.add_row("trial", f"[bold]{trial.number}")
    table.add_row("state", _styled(trial.state, None))
    for name, value in (trial.values or {}).items():
        table.add_row(escape(name), f"[bold]{format_number(value)}")
    for name, value in (trial.test or {}).items():
        table.add_row(f"test {escape(name)}", format_number(value))
    table.add_row("epochs", _epochs(trial) + (", stopped early" if trial.stopped_early else ""))
    if trial.n_parameters is not None:
        table.add_row("weights", format_number(trial.n_parameters))
    table.add_row("device time", format_duration(trial.device_seconds))
    for name, param in trial.params.items():
        table.add_row(escape(name), escape(format_number(param)))
    if trial.pruned is not None:
        why = trial.pruned
        limits = f"{format_number(why.value)} against {format_number(why.threshold)}"
        table.add_row("pruned", escape(f"by {why.rule} at epoch {why.epoch}: {limits}"))
    if trial.failure is not None:
        table.add_row("[red]failure", escape(f"{trial.failure.kind}: {trial.failure.message}"))
    return table


def attempt_table(trial: TrialView) -> Table:
    """Return one row an attempt of the trial."""
    table = _table("attempt", "state", "worker", "device", "began", "time")
    for attempt in trial.attempts:
        table.add_row(
            str(attempt.number),
            _styled(attempt.state, None),
            escape(attempt.worker),
            escape(f"{attempt.device} {attempt.precision}"),
            format_time(attempt.started_at),
            format_duration(attempt.device_seconds),
        )
    return table


def epoch_table(epochs: Sequence[EpochView]) -> Table:
    """Return one row an epoch, one column a metric."""
    metrics = _keys(epoch.metrics for epoch in epochs)
    table = _table("epoch", *metrics)
    for epoch in epochs:
        values = (format_number(epoch.metrics.get(name)) for name in metrics)
        table.add_row(str(epoch.epoch), *values)
    return table


def worker_table(workers: Iterable[WorkerView]) -> Table:
    """Return one row a worker."""
    table = _table("worker", "device", "study", "trials", "since", "heard of")
    for worker in workers:
        numbers = ", ".join(str(number) for number in worker.trials[:MAX_NUMBERS])
        more = f" … {len(worker.trials)} in all" if len(worker.trials) > MAX_NUMBERS else ""
        table.add_row(
            escape(worker.name),
            escape(worker.device),
            escape(worker.study or "idle"),
            (numbers or "-") + more,
            format_time(worker.started_at),
            f"{format_duration(worker.silent_s)} ago",
        )
    return table


def token_table(tokens: Iterable[tuple[str, str, str, datetime]]) -> Table:
    """Return one row a token: its name, owner, scope and when it was made."""
    table = _table("token", "owner", "scope", "created")
    for name, owner, scope, created_at in tokens:
        table.add_row(escape(name), escape(owner), scope, format_time(created_at))
    return table


def trial_count(study: StudyView) -> str:
    """Return ``7 of 20``, or ``7`` without a limit."""
    limit = study.progress.max_trials
    return f"{study.progress.finished}" + (f" of {limit}" if limit is not None else "")


def _epochs(trial: TrialSummary) -> str:
    best = f" (best {trial.best_epoch})" if trial.best_epoch is not None else ""
    return f"{trial.epochs}{best}"


def _keys(rows: Iterable[Mapping[str, object] | None]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row or {}))


def _styled(state: str, why: str | None) -> str:
    style = STATE_STYLES.get(state, "default")
    return f"[{style}]{state}[/]" + (f" {escape(why)}" if why else "")


def _table(*heads: str, title: str | None = None) -> Table:
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for head in heads:
        table.add_column(head, header_style="dim", overflow="fold")
    return table


def _details() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table
