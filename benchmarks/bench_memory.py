"""Does TPE find less because it looks at 1,000 trials instead of all?

Two studies of the same seed are equal until the memory is full. From there one goes on with its
memory, one looks at everything, as Optuna does. What they have found at the end is compared seed
by seed, on functions of six parameters of all kinds.

    python -m benchmarks.bench_memory [--trials 2500] [--seeds 20] [--out FILE]
"""

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.harness import emit, environment
from hpsearch.sampling.base import ReservedTrial, SampleRequest
from hpsearch.sampling.distributions import to_distribution
from hpsearch.sampling.memory import Memory
from hpsearch.sampling.tpe import Tpe
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, FloatDomain, IntDomain, ParameterValue
from tests.studies import definition

N_LANES = 4  # trials that run at once
MINIMIZE = (Direction.MINIMIZE,)
SPACE: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "hidden_units": {"low": 8, "high": 512, "log": True},
        "activation": {"choices": ["relu", "tanh", "sigmoid"]},
    },
    "optimizer": {
        "name": "sgd",
        "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.99},
        "l1": {"low": 1e-6, "high": 1.0, "log": True},
        "l2": {"low": 1e-6, "high": 1.0, "log": True},
    },
}
DOMAINS = definition(**SPACE).space.domains


def shares(params: Mapping[str, ParameterValue]) -> np.ndarray:
    """Return where in its range each number is, from 0 to 1, and a penalty for a bad choice."""
    found = []
    for name, domain in sorted(DOMAINS.items()):
        value: Any = params[name]
        if isinstance(domain, CategoricalDomain):
            found.append(0.1 * domain.choices.index(value))
        elif isinstance(domain, FloatDomain | IntDomain) and domain.log:
            found.append(math.log(value / domain.low) / math.log(domain.high / domain.low))
        else:
            found.append((value - domain.low) / (domain.high - domain.low))
    return np.array(found)


def bowl(u: np.ndarray, _noise: float) -> float:
    """One valley, exact values."""
    return float(((u - 0.3) ** 2).sum())


def ackley(u: np.ndarray, _noise: float) -> float:
    """Many valleys, exact values."""
    x = 8 * (u - 0.37)
    wide = -20 * math.exp(-0.2 * math.sqrt(float((x**2).mean())))
    return wide - math.exp(float(np.cos(2 * math.pi * x).mean())) + 20 + math.e


def noisy(u: np.ndarray, noise: float) -> float:
    """A bent valley, measured with noise as accuracies are."""
    x = 3 * u - 1
    bent = 100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2
    return math.log1p(float(bent.sum())) + 0.2 * noise


FUNCTIONS: dict[str, Callable[[np.ndarray, float], float]] = {
    "bowl": bowl,
    "ackley": ackley,
    "noisy": noisy,
}


@dataclass
class Played:
    """A study in memory, with what a memory chooses from.

    Attributes:
        states: Optuna's.
        epochs: None count here.
        values: One objective.
    """

    trials: list[FrozenTrial] = field(default_factory=list)

    @property
    def states(self) -> np.ndarray:
        """All are COMPLETE."""
        return np.full(len(self.trials), TrialState.COMPLETE)

    @property
    def epochs(self) -> np.ndarray:
        """One each."""
        return np.ones(len(self.trials), dtype=np.int64)

    @property
    def values(self) -> np.ndarray:
        """One column."""
        return np.array([[trial.value] for trial in self.trials])

    def play(self, function: str, memory: Memory | None, seed: int, n: int) -> None:
        """Go on until there are ``n`` trials."""
        parsed = definition(seed=seed, **SPACE)
        sampler = Tpe()
        while len(self.trials) < n:
            first = len(self.trials)
            seen: Sequence[FrozenTrial] = self.trials
            if memory is not None:
                chosen = memory.choose(self, MINIMIZE, seed)
                seen = [self.trials[number] for number in sorted(chosen.tolist())]
            request = SampleRequest(
                seed=seed,
                space=parsed.space,
                directions=MINIMIZE,
                trials=tuple(
                    ReservedTrial(number, number, number)
                    for number in range(first, first + N_LANES)
                ),
                history=lambda seen=seen: seen,
            )
            for number, point in sampler.sample(request).items():
                noise = float(np.random.default_rng([seed, number]).normal())
                value = FUNCTIONS[function](shares(point.params), noise)
                trial = optuna.trial.create_trial(
                    params=dict(point.params),
                    distributions={name: DISTRIBUTIONS[name] for name in point.params},
                    value=value,
                )
                trial.number = trial._trial_id = number
                self.trials.append(trial)

    def found(self, function: str, last: int) -> tuple[float, float]:
        """Return the true value of the best trial, and the median of the last ones."""
        true = [FUNCTIONS[function](shares(trial.params), 0.0) for trial in self.trials]
        best = min(range(len(self.trials)), key=lambda i: self.trials[i].value or 0.0)
        return true[best], statistics.median(true[-last:])


DISTRIBUTIONS = {name: to_distribution(domain) for name, domain in DOMAINS.items()}


def compare(function: str, memory: Memory, seed: int, n: int) -> dict[str, float]:
    """Return what both have found."""
    start = Played()
    start.play(function, memory, seed, memory.most)
    found = {}
    for name, remembered in (("memory", memory), ("all", None)):
        study = Played(list(start.trials))
        study.play(function, remembered, seed, n)
        best, late = study.found(function, n // 10)
        found |= {f"{name}_best": best, f"{name}_late": late}
    return found


def main() -> None:
    """Play all seeds and print one JSON line a function and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2500)
    parser.add_argument("--most", type=int, default=Tpe().memory(1).most)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--functions", default=",".join(FUNCTIONS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    memory = Memory(most=options.most, best=Tpe().memory(1).best)
    for function in options.functions.split(","):
        runs = [compare(function, memory, seed, options.trials) for seed in range(options.seeds)]
        for measure in ("best", "late"):
            ours = [run[f"memory_{measure}"] for run in runs]
            theirs = [run[f"all_{measure}"] for run in runs]
            gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
            error = statistics.stdev(gaps) / math.sqrt(len(gaps))
            line = {
                "question": "does TPE find less because it looks at some trials instead of all",
                "function": function,
                "measure": measure,
                "trials": options.trials,
                "most": options.most,
                "seeds": options.seeds,
                "memory": round(statistics.mean(ours), 5),
                "all": round(statistics.mean(theirs), 5),
                "gap": round(statistics.mean(gaps), 5),
                "gap_error": round(error, 5),
                "memory_better": sum(gap < 0 for gap in gaps),
                **environment(),
            }
            emit(line, options.out)


if __name__ == "__main__":
    main()
