"""Model the good and the bad points seen so far, and propose where good is likelier."""

import warnings
from typing import ClassVar, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from pydantic import Field

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.optuna_sampler import OptunaSampler


@REGISTRY.register("tpe")
class Tpe(OptunaSampler):
    """Tree-structured Parzen estimator, Optuna's, with running trials counted as bad.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
    """

    name: Literal["tpe"] = "tpe"
    learns: ClassVar[bool] = True
    n_startup_trials: int = Field(10, ge=0, description="random points before the model begins")
    n_ei_candidates: int = Field(24, ge=1, le=10_000, description="candidates per proposal")
    multivariate: bool = Field(True, description="model parameters jointly")
    group: bool = Field(True, description="split conditional spaces into groups")
    constant_liar: bool = Field(True, description="running trials count as bad ones")

    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:
        """Return Optuna's sampler; ``group`` needs ``multivariate`` and only then matters."""
        with warnings.catch_warnings():
            # group and multivariate are what Optuna itself recommends for such spaces
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._build(seed, is_conditional=is_conditional)

    def _build(self, seed: int, *, is_conditional: bool) -> BaseSampler:
        return TPESampler(
            n_startup_trials=self.n_startup_trials,
            n_ei_candidates=self.n_ei_candidates,
            multivariate=self.multivariate,
            group=self.group and self.multivariate and is_conditional,
            constant_liar=self.constant_liar,
            seed=seed,
        )
