"""Move and stretch a cloud of points towards the better ones: CMA-ES."""

import copy
import hashlib
import marshal
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from optuna import Study
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from pydantic import Field, model_validator

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.optuna_sampler import OptunaSampler, refuse_conditional
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective
from hpsearch.spec.space import CategoricalDomain


@REGISTRY.register("cmaes")
class CmaEs(OptunaSampler):
    """CMA-ES, Optuna's, without its pickles: the state is told again from the trials.

    For a few dozen numeric parameters and some hundred trials; one objective.

    Source: Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772.
    """

    name: Literal["cmaes"] = "cmaes"
    learns: ClassVar[bool] = True
    knows_study: ClassVar[bool] = False
    n_startup_trials: int = Field(1, ge=1, description="random points before it begins")
    popsize: int | None = Field(
        None, ge=2, le=10_000, description="trials in a generation; null: 4 + 3 ln(parameters)"
    )
    consider_pruned_trials: bool = Field(
        False, description="whether pruned trials count, with their last value"
    )
    use_separable_cma: bool = Field(
        False, description="ignore how parameters depend on each other"
    )
    with_margin: bool = Field(False, description="keep steps and whole numbers from freezing")
    lr_adapt: bool = Field(False, description="slow down on noisy or rugged objectives")

    @model_validator(mode="after")
    def _check(self) -> "CmaEs":
        chosen = [
            field
            for field in ("use_separable_cma", "with_margin", "lr_adapt")
            if getattr(self, field)
        ]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} cannot be combined; choose one")
        return self

    def refusals(self, space: SearchSpace, objectives: Sequence[Objective]) -> list[Refusal]:
        """Return that the space is conditional, or that there are several objectives."""
        refusals = refuse_conditional("cmaes", space)
        if len(objectives) > 1:
            message = f"cmaes takes one objective, got {len(objectives)}; use tpe, gp or nsgaii"
            refusals.append(Refusal("name", message))
        return refusals

    def warnings(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[str]:
        """Return that choices are drawn at random, if there are any."""
        choices = [
            name for name, item in space.domains.items() if isinstance(item, CategoricalDomain)
        ]
        if not choices:
            return []
        return [f"sampler: cmaes moves numbers only; drawn at random: {', '.join(choices)}"]

    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:  # noqa: ARG002
        """Return Optuna's sampler with its own generator."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return RetoldCmaEs(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                popsize=self.popsize,
                consider_pruned_trials=self.consider_pruned_trials,
                use_separable_cma=self.use_separable_cma,
                with_margin=self.with_margin,
                lr_adapt=self.lr_adapt,
                warn_independent_sampling=False,
            )


class RetoldCmaEs(CmaEsSampler):
    """Optuna's CMA-ES that neither writes nor reads a pickle.

    Optuna stores the strategy's state as a pickle in the attributes of a trial, and loads what
    it finds there. Here it is computed from the generations so far, which takes about a
    millisecond for each; the process remembers how far it has come.
    """

    def __init__(self, *, seed: int, **arguments: Any) -> None:
        super().__init__(seed=seed, **arguments)
        self._seed = seed

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of the numeric parameters."""
        self._space = search_space
        self._sign = 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
        self._direction = study.direction
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        """Return the strategy after the last full generation, so that nothing is left to tell."""
        space = _SearchSpaceTransform(
            self._space, transform_step=not self._with_margin, transform_0_1=True
        )
        optimizer = self._init_optimizer(space, self._direction)
        generations = self._full_generations(completed_trials, optimizer.population_size)
        if self._get_solution_trials(completed_trials, 1):
            # Optuna's has drawn nothing yet where it finds a state
            self._cma_rng = LazyRandomState(self._seed)
        keys = list(self._keys(optimizer, generations))
        n_known = next((n for n in range(len(keys), 0, -1) if keys[n - 1] in _STATES), 0)
        if n_known:
            optimizer = copy.deepcopy(_STATES[keys[n_known - 1]])
        for n in range(n_known, len(generations)):
            optimizer.tell([self._solution(space, trial) for trial in generations[n]])
            # always a copy: its arrays lie otherwise in memory, which shows in the last digits
            optimizer = copy.deepcopy(optimizer)
            if n >= len(generations) - N_LAST:
                _remember(keys[n], optimizer)
        return optimizer

    def _full_generations(
        self, trials: list[FrozenTrial], population_size: int
    ) -> list[list[FrozenTrial]]:
        """Return the trials that were or are to be told, by generation, while they are full."""
        of_generation: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            generation = trial.system_attrs.get(self._attr_key_generation, -1)
            of_generation.setdefault(generation, []).append(trial)
        full: list[list[FrozenTrial]] = []
        while len(told := of_generation.get(len(full), ())) >= population_size:
            full.append(list(told[:population_size]))
        return full

    def _keys(
        self, optimizer: Any, generations: Iterable[Sequence[FrozenTrial]]
    ) -> Iterator[bytes]:
        """Return what the state after each generation depends on, as a digest."""
        settings = (type(optimizer).__name__, optimizer.population_size, self._lr_adapt)
        digest = repr((settings, self._direction, sorted(self._space.items()))).encode()
        for generation in generations:
            told = [
                (tuple(t.params.items()), t.system_attrs.get("x_for_tell"), t.value)
                for t in generation
            ]
            # version 2 writes equal objects as equal bytes
            digest = hashlib.blake2b(digest + marshal.dumps(told, 2), digest_size=16).digest()
            yield digest

    def _solution(
        self, space: _SearchSpaceTransform, trial: FrozenTrial
    ) -> tuple[np.ndarray, float]:
        remembered = trial.system_attrs.get("x_for_tell")
        point = space.transform(trial.params) if remembered is None else np.array(remembered)
        return point, self._sign * float(trial.value or 0.0)


N_LAST = 4
"""Generations of a study after which the state is remembered: stragglers change the last ones."""

_STATES: OrderedDict[bytes, Any] = OrderedDict()
"""States by what was told, so that a long study is not told from its beginning every time."""


def _remember(key: bytes, optimizer: Any) -> None:
    _STATES[key] = copy.deepcopy(optimizer)
    while len(_STATES) > 16 * N_LAST:
        _STATES.popitem(last=False)
