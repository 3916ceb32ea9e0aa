"""Which of many trials a sampler looks at, so that a proposal costs the same however many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import TrialState

from hpsearch.spec.sections import Direction


class Known(Protocol):
    """What is known of every trial, by number.

    Attributes:
        states: Optuna's states; others mean that there is no such trial.
        epochs: The last epoch.
        values: One column an objective.
    """

    @property
    def states(self) -> np.ndarray: ...  # noqa: D102

    @property
    def epochs(self) -> np.ndarray: ...  # noqa: D102

    @property
    def values(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Memory:
    """How many finished trials a sampler looks at, and how they are chosen.

    All of them while they are few. Beyond that: the best, and of the others a sample that is
    the same for every worker and changes little as trials finish, for each trial has a place
    in a fixed random order of the study, and the first are taken. Running trials are looked at
    all.

    Attributes:
        most: Most finished trials it looks at.
        best: How many of these are the best ones.
        with_pruned: Whether PRUNED trials are among them.
    """

    most: int
    best: int
    with_pruned: bool = True

    def choose(self, known: Known, directions: Sequence[Direction], seed: int) -> np.ndarray:
        """Return the numbers of the trials to look at.

        Args:
            known: The study's trials.
            directions: One per objective.
            seed: The study's.
        """
        states = known.states
        running = np.flatnonzero(states == TrialState.RUNNING)
        complete = np.flatnonzero(states == TrialState.COMPLETE)
        pruned = np.flatnonzero(states == TrialState.PRUNED) if self.with_pruned else complete[:0]
        if len(complete) + len(pruned) <= self.most:
            return np.concatenate([complete, pruned, running])
        best = self._best(known, complete, pruned, directions)
        is_other = np.zeros(len(states), dtype=bool)
        is_other[complete] = is_other[pruned] = True
        is_other[best] = False
        others = np.flatnonzero(is_other)
        places = _places(others, seed)
        sample = others[np.argpartition(places, self.most - len(best))[: self.most - len(best)]]
        return np.concatenate([best, sample, running])

    def _best(
        self,
        known: Known,
        complete: np.ndarray,
        pruned: np.ndarray,
        directions: Sequence[Direction],
    ) -> np.ndarray:
        signs = np.array([-1.0 if d is Direction.MAXIMIZE else 1.0 for d in directions])
        losses = known.values[complete] * signs
        if len(directions) > 1 and len(complete) > self.best:
            ranks = _fast_non_domination_rank(losses, n_below=self.best)
            best = complete[np.argsort(ranks, kind="stable")[: self.best]]
        else:
            best = complete[_lowest(losses[:, 0], self.best)]
        if len(best) < self.best:
            # as TPE has it: who came farther, then whose last value is better
            last = np.nan_to_num(known.values[pruned, 0] * signs[0], nan=np.inf)
            order = np.lexsort((pruned, last, -known.epochs[pruned]))
            best = np.concatenate([best, pruned[order[: self.best - len(best)]]])
        return best


def _lowest(values: np.ndarray, n: int) -> np.ndarray:
    """Return the places of the lowest values; of equal ones the first."""
    if len(values) <= n:
        return np.arange(len(values))
    limit = np.partition(values, n - 1)[n - 1]
    below = np.flatnonzero(values < limit)
    equal = np.flatnonzero(values == limit)
    return np.concatenate([below, equal[: n - len(below)]])


def _places(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return each trial's place in the study's random order: a hash of seed and number."""
    with np.errstate(over="ignore"):  # splitmix64
        x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
