"""How a running study looks: bars on a terminal, lines in a file."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hpsearch.cli.console import format_duration, format_number, format_params, format_values
from hpsearch.client.follow import MAX_SHOWN, Look, goal_metric
from hpsearch.spec.states import StudyState, TrialState
from hpsearch.spec.views import StudyView, TrialSummary

QUIET_S = 30.0  # a log without a line for longer looks dead
TALLY_S = 10.0  # between two lines on the whole study while trials finish


class Display(Protocol):
    """Shows looks at one study."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, look: Look) -> None:
        """Show what is to be seen now."""


def make_display(console: Console) -> Display:
    """Return what suits the place the output goes to."""
    return Bars(console) if console.is_interactive else Lines(console)


class Bars:
    """One bar for the study and one for each of the first running trials."""

    def __init__(self, console: Console) -> None:
        self._overall = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
        )
        self._trials = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[metric]}"),
        )
        self._tasks: dict[int, TaskID] = {}
        self._study = self._overall.add_task("waiting", total=None, count="", eta="")
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, look: Look) -> None:
        """Move the bars."""
        study = look.study
        fraction = study.progress.fraction
        eta = study.progress.eta_s
        self._overall.update(
            self._study,
            description=f"{study.name} {_state(study)}",
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            count=f"{_count(study)} trials",
            eta=f"about {format_duration(eta)} left" if eta is not None else "",
        )
        shown = look.running[:MAX_SHOWN]
        self._show_trials(study, look, shown)
        parts: list[RenderableType] = [
            self._overall,
            Text(f"  {_tally(study)}", style="dim"),
            self._trials,
        ]
        n_more = len(look.running) - len(shown)
        if n_more:
            parts.append(Text(f"  … and {n_more} more running", style="dim"))
        self._live.update(Group(*parts))

    def _show_trials(self, study: StudyView, look: Look, shown: tuple[TrialSummary, ...]) -> None:
        for number in self._tasks.keys() - {trial.number for trial in shown}:
            self._trials.remove_task(self._tasks.pop(number))
        for trial in shown:
            if trial.number not in self._tasks:
                self._tasks[trial.number] = self._trials.add_task("", count="", metric="")
            n_epochs, metric = _epoch_of(look, trial)
            total = _max_epochs(study, trial)
            self._trials.update(
                self._tasks[trial.number],
                description=f"trial {trial.number:>4}",
                total=total,
                completed=n_epochs,
                count=f"epoch {n_epochs}" + (f"/{total}" if total else ""),
                metric=escape(metric),
            )


class Lines:
    """A line for each trial that finishes, and now and then one for the whole study."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: tuple[str, object] | None = None
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def show(self, look: Look) -> None:
        """Print what is new: each finished trial; the study if its state or its best changed."""
        study = look.study
        for trial in look.finished:
            self._print(f"{study.name}: {_finished_line(trial)}")
        news = (_state(study), study.best_trials[0].number if study.best_trials else None)
        is_due = time.monotonic() - self._told_at > (QUIET_S if not look.finished else TALLY_S)
        if news == self._told and not is_due:
            return
        self._told, self._told_at = news, time.monotonic()
        running = ", ".join(f"trial {t.number} epoch {t.epochs}" for t in look.running[:MAX_SHOWN])
        more = f"; {running}" if running and not look.finished else ""
        self._print(
            f"{study.name}: {_state(study)}, {_count(study)} trials, {_tally(study)}{more}"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _state(study: StudyView) -> str:
    return f"{study.state}" + (f" ({study.state_reason})" if study.state_reason else "")


def _count(study: StudyView) -> str:
    limit = study.progress.max_trials
    return f"{study.progress.finished}" + (f"/{limit}" if limit is not None else "")


def _tally(study: StudyView) -> str:
    counts = study.counts
    is_waiting = not counts.running and study.state is StudyState.ACTIVE
    parts = ["waiting for a worker" if is_waiting else f"{counts.running} running"]
    parts += [f"{counts.pruned} pruned"] if counts.pruned else []
    parts += [f"{counts.fail} failed"] if counts.fail else []
    if study.best_trials:
        best = study.best_trials[0]
        parts.append(f"best so far {format_values(best.values)} (trial {best.number})")
    return ", ".join(parts)


def _finished_line(trial: TrialSummary) -> str:
    what = format_values(trial.values)
    if trial.state is TrialState.PRUNED and trial.pruned is not None:
        what = f"by {trial.pruned.rule} at epoch {trial.pruned.epoch}"
    if trial.failure is not None:
        what = f"{trial.failure.kind}: {trial.failure.message}"
    how = f"{trial.epochs} epochs, {format_duration(trial.device_seconds)}"
    return f"trial {trial.number} {trial.state} {what} ({how}) {format_params(trial.params)}"


def _epoch_of(look: Look, trial: TrialSummary) -> tuple[int, str]:
    epoch = look.latest.get(trial.number)
    if epoch is None:
        return trial.epochs, ""
    metric = goal_metric(look.study.definition)
    value = epoch.metrics.get(metric)
    text = f"{metric} {format_number(value)}" if value is not None else ""
    return max(trial.epochs, epoch.epoch), text


def _max_epochs(study: StudyView, trial: TrialSummary) -> int | None:
    drawn = trial.params.get("training.epochs")
    if isinstance(drawn, int):
        return drawn
    training = study.definition.get("training")
    epochs = training.get("epochs") if isinstance(training, dict) else None
    return epochs if isinstance(epochs, int) else None
