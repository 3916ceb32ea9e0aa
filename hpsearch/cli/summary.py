"""What a finished search leaves to read: the best trial, the runners-up, the failures."""

from itertools import islice

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from hpsearch.cli.console import format_duration
from hpsearch.cli.tables import trial_count, trial_details, trial_table
from hpsearch.client.client import Client
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import StudyView

N_TOP = 5
N_FAILURES = 3


def print_summary(console: Console, client: Client, study: StudyView) -> None:
    """Print the end of a study: best trial, top five, why trials failed."""
    reason = f" ({study.state_reason})" if study.state_reason else ""
    console.print(
        f"\n[bold]{escape(study.name)}[/] is {study.state}{reason}: {trial_count(study)} trials, "
        f"{format_duration(study.usage.device_seconds)} of device time"
    )
    _print_failures(console, client, study)
    print_best(console, client, study)


def print_best(console: Console, client: Client, study: StudyView) -> None:
    """Print the best trial (or the Pareto front) and the five best of all."""
    best = client.best_trials(study.name)
    if not best:
        console.print("No trial is complete yet.")
        return
    if len(best) > 1:
        console.print(
            trial_table(best, width=console.width, title=f"\nPareto front, {len(best)} trials")
        )
        return
    console.print(
        Panel(trial_details(best[0]), title="best trial", title_align="left", expand=False)
    )
    complete = client.trials(
        study.name, state=TrialState.COMPLETE, order_by="value", page_size=N_TOP
    )
    top = list(islice(complete, N_TOP))
    if len(top) > 1:
        console.print(
            trial_table(
                top, width=console.width, title=f"Top {len(top)} of {study.counts.complete}"
            )
        )


def _print_failures(console: Console, client: Client, study: StudyView) -> None:
    if not study.counts.fail:
        return
    failed = islice(
        client.trials(study.name, state=TrialState.FAIL, page_size=N_FAILURES), N_FAILURES
    )
    for trial in failed:
        if trial.failure is not None:
            why = f"({trial.failure.kind}): {trial.failure.message}"
            console.print(f"[red]trial {trial.number} failed[/] {escape(why)}")
    if study.counts.fail > N_FAILURES:
        more = f"`hpsearch trials {study.name} --state FAIL`"
        console.print(f"… and {study.counts.fail - N_FAILURES} more failed: {more}", style="dim")
