"""What a figure is drawn from: a study's trials, curves and attempts, without a database."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hpsearch.spec.sections import Direction
from hpsearch.spec.space import Domain, ParameterValue
from hpsearch.spec.states import AttemptState, TrialState

LARGE = 2_000  # trials; more of them with every parameter each would be megabytes


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt in time.

    Attributes:
        worker: Who trained.
        started_at: Its first moment.
        finished_at: Its last; now, if it runs.
        state: How it ended.
    """

    worker: str
    started_at: datetime
    finished_at: datetime
    state: AttemptState


@dataclass(frozen=True, slots=True)
class PlotTrial:
    """One trial.

    Attributes:
        number: Its number.
        state: Where it stands.
        params: What was drawn for it.
        values: One per objective if it is COMPLETE.
        last_value: What it was last judged by: its value, else the last of its curve.
        curve: (epoch, first objective's metric) of every epoch drawn.
        spans: Its attempts.
    """

    number: int
    state: TrialState
    params: Mapping[str, ParameterValue]
    values: tuple[float, ...] | None = None
    last_value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class PlotData:
    """Everything a figure of one study may need.

    Attributes:
        study: Its name.
        metrics: One per objective; curves and single values are of the first.
        directions: One per objective.
        curve_metric: What ``curve`` holds.
        domains: Every parameter there can be.
        trials: In number order.
        importance: Share of each parameter, largest first; empty if unknown.
        importance_by: What it was evaluated with.
        importance_note: Why it is empty, or what was left out.
    """

    study: str
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    curve_metric: str
    domains: Mapping[str, Domain]
    trials: Sequence[PlotTrial]
    importance: Mapping[str, float] = field(default_factory=dict)
    importance_by: str = ""
    importance_note: str = ""

    @property
    def complete(self) -> list[PlotTrial]:
        """The trials with finite values, in number order."""
        return [
            trial
            for trial in self.trials
            if trial.values is not None and all(map(math.isfinite, trial.values))
        ]

    @property
    def best(self) -> PlotTrial | None:
        """The earliest trial with the best value of the first objective."""
        sign = -1.0 if self.directions[0] is Direction.MAXIMIZE else 1.0
        return min(
            self.complete,
            key=lambda trial: (sign * (trial.values or (math.inf,))[0], trial.number),
            default=None,
        )

    @property
    def is_large(self) -> bool:
        """Whether there are so many trials that each must be told in few words."""
        return len(self.trials) > LARGE

    def told(self, trial: PlotTrial) -> Mapping[str, ParameterValue]:
        """Return what is shown of a trial under the pointer; nothing in a large study."""
        return {} if self.is_large else trial.params

    def sampled(self, n: int) -> list[PlotTrial]:
        """Return at most ``n`` of the complete trials in number order.

        Where there are more: the best tenth of ``n``, and the others evenly spread.
        """
        complete = self.complete
        if len(complete) <= n:
            return complete
        sign = -1.0 if self.directions[0] is Direction.MAXIMIZE else 1.0
        order = sorted(complete, key=lambda trial: sign * (trial.values or (math.inf,))[0])
        kept = {trial.number for trial in order[: n // 10]}
        rest = [trial for trial in complete if trial.number not in kept]
        n_rest = n - len(kept)
        kept |= {rest[i * len(rest) // n_rest].number for i in range(n_rest)}
        return [trial for trial in complete if trial.number in kept]

    def used_parameters(self) -> list[str]:
        """Return the parameters that at least one trial has, in the order of the space."""
        used = {name for trial in self.trials for name in trial.params}
        return [name for name in self.domains if name in used]
