"""Following a running study: what has happened since the last look."""

from dataclasses import dataclass
from datetime import datetime

from hpsearch.client.client import Client
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import EpochView, StudyView, TrialSummary

MAX_SHOWN = 8  # running trials whose curves are fetched: more would not fit a terminal either


@dataclass(frozen=True, slots=True)
class Look:
    """A study at one moment.

    Attributes:
        study: The study.
        running: Its running trials, by number.
        latest: The last epoch of the first few of them, by trial number.
        finished: Trials that have finished since the look before, by number.
    """

    study: StudyView
    running: tuple[TrialSummary, ...]
    latest: dict[int, EpochView]
    finished: tuple[TrialSummary, ...]


class Follower:
    """Looks at one study again and again.

    Args:
        client: The server.
        name: The study.
        curves: Whether the last epochs of running trials are wanted.
    """

    def __init__(self, client: Client, name: str, *, curves: bool = True) -> None:
        self._client = client
        self._name = name
        self._curves = curves
        self._began_at: datetime | None = None
        self._n_finished = 0
        self._seen: set[int] = set()

    def look(self) -> Look:
        """Return what is to be seen now.

        Raises:
            StudyNotFound: The study was deleted.
            Unavailable: The server does not answer.
        """
        study = self._client.study(self._name)
        finished = self._finished_since(study)
        running: tuple[TrialSummary, ...] = ()
        if study.counts.running and not study.state.has_ended:
            trials = self._client.trials(self._name, state=TrialState.RUNNING)
            running = tuple(sorted(trials, key=lambda trial: trial.number))
        return Look(study, running, self._latest_of(running), finished)

    def _finished_since(self, study: StudyView) -> tuple[TrialSummary, ...]:
        counts = study.counts
        n_finished = counts.complete + counts.pruned + counts.fail
        if self._began_at is None:
            self._began_at, self._n_finished = study.updated_at, n_finished
            return ()
        n_new, self._n_finished = n_finished - self._n_finished, n_finished
        found: list[TrialSummary] = []
        if n_new > 0:  # they have high numbers, so that a page or two hold them all
            for trial in self._client.trials(self._name, order_by="-number"):
                if self._is_news(trial):
                    found.append(trial)
                if len(found) >= n_new:
                    break
        self._seen.update(trial.number for trial in found)
        return tuple(sorted(found, key=lambda trial: trial.number))

    def _is_news(self, trial: TrialSummary) -> bool:
        return (
            trial.state.has_finished
            and trial.number not in self._seen
            and trial.finished_at is not None
            and self._began_at is not None
            and trial.finished_at > self._began_at
        )

    def _latest_of(self, running: tuple[TrialSummary, ...]) -> dict[int, EpochView]:
        numbers = [trial.number for trial in running if trial.epochs][:MAX_SHOWN]
        if not self._curves or not numbers:
            return {}
        latest: dict[int, EpochView] = {}
        for epoch in self._client.curves(self._name, numbers=numbers, points=2):
            if epoch.number not in latest or epoch.epoch > latest[epoch.number].epoch:
                latest[epoch.number] = epoch
        return latest


def goal_metric(definition: dict[str, object]) -> str:
    """Return the metric that decides a trial's best epoch."""
    objectives = definition.get("objectives")
    for objective in objectives if isinstance(objectives, list) else []:
        metric = str(objective.get("metric"))
        if metric.startswith("val_"):
            return metric
    return "val_loss"
