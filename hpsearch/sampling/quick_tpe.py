"""Optuna's TPE with the same proposals in a fraction of the time.

Most of what Optuna's takes with some hundred trials behind it is the normal distribution computed
element by element in Python, the search space found anew by comparing all trials, and a dozen
looks at each. Here the first is one call of SciPy for all elements, trials that share their
distributions are compared once, and each trial is looked at as seldom as can be. Candidates are
drawn by Optuna's own code, so the proposals are Optuna's to the last bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import probability_distributions as kernels
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _get_pruned_trial_score, default_gamma
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_LOG_NORM = 0.5 * np.log(2 * np.pi)
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

_Kernels = (
    kernels._BatchedTruncNormDistributions
    | kernels._BatchedTruncLogNormDistributions
    | kernels._BatchedDiscreteTruncNormDistributions
    | kernels._BatchedDiscreteTruncLogNormDistributions
)


class QuickTpe(TPESampler):
    """Optuna's sampler; its arguments are passed on."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self._parzen_estimator_cls = QuickParzenEstimator

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters modelled jointly."""
        if self._group or not self._is_multivariate(study):
            return super().infer_relative_search_space(study, trial)
        common: dict[str, BaseDistribution] | None = None
        for named in _different(study):
            if common is None:
                common = dict(named)
            else:
                common = {
                    name: distribution
                    for name, distribution in common.items()
                    if named.get(name) == distribution
                }
        return {
            name: distribution
            for name, distribution in sorted((common or {}).items())
            if not distribution.single()
        }

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal for some of the parameters."""
        if len(study.directions) > 1:
            return super()._sample(study, trial, search_space)
        states = (*_FINISHED, TrialState.RUNNING) if self._constant_liar else _FINISHED
        seen = study._get_trials(deepcopy=False, states=states, use_cache=not self._constant_liar)
        seen = [other for other in seen if other.number != trial.number]
        good, bad = _split(study, seen)
        of_good = self._build_parzen_estimator(study, search_space, good, handle_below=True)
        of_bad = self._build_parzen_estimator(study, search_space, bad, handle_below=False)
        candidates = of_good.sample(self._rng.rng, self._n_ei_candidates)
        gains = self._compute_acquisition_func(candidates, of_good, of_bad)
        best = TPESampler._compare(candidates, gains)
        return {
            name: distribution.to_external_repr(best[name])
            for name, distribution in search_space.items()
        }

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, np.ndarray]:
        """Return the values of those trials that have all these parameters, as numbers."""
        names = search_space.keys()
        points = [
            trial.params if trial.state in _FINISHED else self._get_params(trial, study)
            for trial in trials
        ]
        points = [point for point in points if names <= point.keys()]
        return {
            name: _as_numbers([point[name] for point in points], distribution)
            for name, distribution in search_space.items()
        }


def _split(
    study: Study, seen: Sequence[FrozenTrial]
) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Return the good and the bad trials in number order; those that run are bad.

    Args:
        study: One objective; no trial of ours has constraints.
        seen: The trials in number order.
    """
    finished = [trial for trial in seen if trial.state in _FINISHED]
    n_good = default_gamma(len(finished))
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    is_maximized = study.direction == StudyDirection.MAXIMIZE
    ranked = sorted(complete, key=lambda trial: trial.values[0], reverse=is_maximized)
    if len(ranked) < n_good:
        pruned = [trial for trial in finished if trial.state is TrialState.PRUNED]
        ranked += sorted(pruned, key=lambda trial: _get_pruned_trial_score(trial, study))
    numbers = {trial.number for trial in ranked[:n_good]}
    good = [trial for trial in finished if trial.number in numbers]
    return good, [trial for trial in seen if trial.number not in numbers]


def _as_numbers(values: list[Any], distribution: BaseDistribution) -> np.ndarray:
    if isinstance(distribution, CategoricalDistribution):
        values = [distribution.to_internal_repr(value) for value in values]
    return np.asarray(values, dtype=float)


def _different(study: Study) -> list[dict[str, BaseDistribution]]:
    """Return the distributions of finished trials, those that are one object once."""
    trials = study._get_trials(deepcopy=False, states=_FINISHED, use_cache=True)
    return list({id(trial.distributions): trial.distributions for trial in trials}.values())


class QuickParzenEstimator(_ParzenEstimator):
    """Optuna's mixture of kernels, one a trial, with densities computed by SciPy."""

    def log_pdf(self, samples_dict: dict[str, np.ndarray]) -> np.ndarray:
        """Return the logarithm of the density at each sample."""
        points = self._transform(samples_dict)
        mixture = self._mixture_distribution
        total = np.log(mixture.weights)[np.newaxis].repeat(len(points), axis=0)
        for i, distribution in enumerate(mixture.distributions):
            if isinstance(distribution, kernels._BatchedCategoricalDistributions):
                total += np.log(distribution.weights[:, points[:, i].astype(np.int64)]).T
            elif distribution.step == 0.0:
                total += _log_densities(distribution, points[:, i])
            else:
                total += _log_masses(distribution, points[:, i])
        highest = total.max(axis=1)
        highest[np.isneginf(highest)] = 0  # else (-inf) - (-inf)
        with np.errstate(divide="ignore"):
            density: np.ndarray = np.log(np.exp(total - highest[:, None]).sum(axis=1)) + highest
        return density


def _log_densities(kernel: _Kernels, x: np.ndarray) -> np.ndarray:
    mu, sigma = kernel.mu, kernel.sigma
    low, high = kernel.adapted_low, kernel.adapted_high
    x = np.log(x) if kernel.is_log else x
    scale = log_gauss_mass((low - mu) / sigma, (high - mu) / sigma) + np.log(sigma) + _LOG_NORM
    density: np.ndarray = ((x[:, np.newaxis] - mu) / sigma) ** 2
    density *= -0.5
    density -= scale
    density[(x < low) | (x > high)] = -np.inf
    return density


def _log_masses(kernel: _Kernels, x: np.ndarray) -> np.ndarray:
    low, high, half = kernel.adapted_low, kernel.adapted_high, kernel.step / 2
    values, at_value = np.unique(x, return_inverse=True)
    mu, sigma, at_kernel = kernels._unique_inverse_2d(kernel.mu, kernel.sigma)
    left, right = values[:, np.newaxis] - half, values[:, np.newaxis] + half
    if kernel.is_log:
        left, right = np.log(left), np.log(right)
    mass = log_gauss_mass((left - mu) / sigma, (right - mu) / sigma)
    mass -= log_gauss_mass((low - mu) / sigma, (high - mu) / sigma)
    spread: np.ndarray = mass[np.ix_(at_value, at_kernel)]
    return spread


def log_gauss_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the logarithm of the standard normal's mass between ``a`` and ``b``."""
    from scipy import special  # here, because the API process never needs it

    # the right tail is mirrored to the left one, where small masses keep their digits
    is_right = a > 0
    low, high = np.where(is_right, -b, a), np.where(is_right, -a, b)
    log_high = special.log_ndtr(high)
    mass: np.ndarray = log_high + np.log1p(-np.exp(special.log_ndtr(low) - log_high))
    is_central = high > 0
    if is_central.any():
        low, high = low[is_central], high[is_central]
        mass[is_central] = np.log1p(-special.ndtr(low) - special.ndtr(-high))
    return mass
