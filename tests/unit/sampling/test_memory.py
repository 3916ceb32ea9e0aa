"""Which of many trials a sampler looks at."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from optuna.trial import TrialState

from hpsearch.sampling.memory import Memory
from hpsearch.spec.sections import Direction

MAX, MIN = Direction.MAXIMIZE, Direction.MINIMIZE
MEMORY = Memory(most=40, best=8)


@dataclass
class Known:
    values: np.ndarray
    states: np.ndarray = field(default_factory=lambda: np.zeros(0))
    epochs: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.states):
            self.states = np.full(len(self.values), TrialState.COMPLETE)
        if not len(self.epochs):
            self.epochs = np.ones(len(self.values), dtype=np.int64)


def complete(n: int, n_objectives: int = 1) -> Known:
    return Known(np.random.default_rng(0).normal(size=(n, n_objectives)))


def chosen(
    known: Known, direction: Direction = MAX, seed: int = 0, memory: Memory = MEMORY
) -> set[int]:
    numbers = memory.choose(known, (direction,), seed).tolist()
    assert len(set(numbers)) == len(numbers)
    return set(numbers)


def test_few_trials_are_all_looked_at() -> None:
    assert chosen(complete(40)) == set(range(40))


@pytest.mark.parametrize("direction", [MAX, MIN])
def test_the_best_of_many_are_looked_at_and_no_more_than_asked_for(direction: Direction) -> None:
    known = complete(1000)
    order = np.argsort(known.values[:, 0] * (-1 if direction is MAX else 1))
    found = chosen(known, direction)
    assert len(found) == 40
    assert set(order[:8].tolist()) <= found
    assert not set(order[8:40].tolist()) <= found  # a sample, not the next best


def test_of_equal_trials_the_first_are_the_best() -> None:
    known = Known(np.zeros((500, 1)))
    assert set(range(8)) <= chosen(known)


def test_the_others_are_a_sample_of_all_ages() -> None:
    found = [n for seed in range(20) for n in chosen(complete(1000), seed=seed)]
    by_age = np.histogram(found, bins=5, range=(0, 1000))[0]
    # five standard deviations of a binomial of 640 trials with p = 1/5, and the best on top
    assert by_age.min() > 128 - 51


def test_the_sample_depends_on_the_seed_and_changes_little_as_trials_finish() -> None:
    known, later = complete(1000), complete(1020)
    assert chosen(known) == chosen(known)
    assert chosen(known, seed=1) != chosen(known)
    assert len(chosen(later) - chosen(known)) <= 6


def test_running_trials_are_looked_at_all_waiting_and_failed_ones_never() -> None:
    known = complete(300)
    known.states[:10] = TrialState.RUNNING
    known.states[10:20] = TrialState.WAITING
    known.states[20:30] = TrialState.FAIL
    known.states[30:40] = -1  # no such trial
    found = chosen(known)
    assert found & set(range(40)) == set(range(10))
    assert len(found) == 40 + 10


def test_pruned_trials_are_the_best_only_where_complete_ones_are_few() -> None:
    known = complete(300)
    known.states[5:] = TrialState.PRUNED
    known.epochs[5:] = 1
    known.epochs[100:103] = 9
    known.values[100:103, 0] = (0.1, 0.3, np.nan)
    known.values[200, 0] = 99.0
    found = chosen(known)
    # the five that are complete, and of the others those that came farthest
    assert {0, 1, 2, 3, 4, 100, 101, 102} <= found
    without = chosen(known, memory=Memory(most=40, best=8, with_pruned=False))
    assert without == {0, 1, 2, 3, 4}


def test_of_several_objectives_the_front_is_best() -> None:
    known = complete(1000, 2)
    wins = [
        not any((other >= own).all() and (other > own).any() for other in known.values)
        for own in known.values
    ]
    front = set(np.flatnonzero(wins).tolist())
    found = Memory(most=40, best=20).choose(known, (MAX, MAX), 0).tolist()
    assert 3 < len(front) <= 20
    assert front <= set(found)
