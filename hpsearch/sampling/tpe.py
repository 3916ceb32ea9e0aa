"""Model the good and the bad points seen so far, and propose where good is likelier."""

import warnings
from typing import ClassVar, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from pydantic import Field

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.memory import Memory
from hpsearch.sampling.optuna_sampler import OptunaSampler
from hpsearch.sampling.quick_tpe import QuickTpe

MOST = 1000  # finished trials looked at


@REGISTRY.register("tpe")
class Tpe(OptunaSampler):
    """Tree-structured Parzen estimator, Optuna's, with running trials counted as bad.

    It looks at up to 1,000 finished trials and proposes exactly what Optuna's would. Of more it
    looks at the best 25 (of several objectives at the 100 nearest to the front) and a sample of
    the others that is the same for all workers, so that a proposal costs the same however many
    there are.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
    """

    name: Literal["tpe"] = "tpe"
    learns: ClassVar[bool] = True
    knows_study: ClassVar[bool] = False
    n_startup_trials: int = Field(10, ge=0, description="random points before the model begins")
    n_ei_candidates: int = Field(24, ge=1, le=10_000, description="candidates per proposal")
    multivariate: bool = Field(True, description="model parameters jointly")
    group: bool = Field(True, description="split conditional spaces into groups")
    constant_liar: bool = Field(True, description="running trials count as bad ones")

    def memory(self, n_objectives: int) -> Memory:
        """Return up to 1,000 trials: those it would call good, and of the others a sample."""
        # of one objective Optuna calls 25 trials good at most, of several a tenth
        return Memory(most=MOST, best=25 if n_objectives == 1 else MOST // 10)

    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:
        """Return Optuna's sampler; ``group`` needs ``multivariate`` and only then matters."""
        with warnings.catch_warnings():
            # group and multivariate are what Optuna itself recommends for such spaces
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._build(seed, is_conditional=is_conditional)

    def _build(self, seed: int, *, is_conditional: bool) -> BaseSampler:
        return QuickTpe(
            n_startup_trials=self.n_startup_trials,
            n_ei_candidates=self.n_ei_candidates,
            multivariate=self.multivariate,
            group=self.group and self.multivariate and is_conditional,
            constant_liar=self.constant_liar,
            seed=seed,
        )
