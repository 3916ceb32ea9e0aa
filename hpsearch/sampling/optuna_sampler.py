"""The common ground of samplers that Optuna brings."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import optuna
from optuna.samplers import BaseSampler

from hpsearch.sampling.base import SampledPoint, Sampler, SampleRequest
from hpsearch.sampling.overlay import STUDY_NAME, OverlayStorage
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.space import Domain, FloatDomain, IntDomain, ParameterValue


class OptunaSampler(Sampler):
    """A sampler that Optuna brings, driven through ``ask`` and ``suggest`` alone."""

    knows_study: ClassVar[bool] = True
    """Whether it remembers anything with the study, not with trials alone."""

    @abstractmethod
    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:
        """Return Optuna's sampler with its own generator."""

    def sample(self, request: SampleRequest) -> dict[int, SampledPoint]:
        """Return a point for every reserved trial, by trial number.

        Every trial has a sampler seeded by (study seed, number): one seeded sampler on two
        workers would propose every point twice. Earlier trials of the claim are RUNNING when
        the next is asked.
        """
        study_attrs = request.study_attrs() if self.knows_study else {}
        storage = OverlayStorage(
            request.directions, request.history(), request.trials, study_attrs
        )
        study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
        points = {}
        for reserved in request.trials:
            study.sampler = self.build(
                trial_seed(request.seed, reserved.number, reserved.n_refused),
                is_conditional=request.space.is_conditional,
            )
            asked = study.ask()
            request.space.suggest(_suggest_from(asked))
            drawn = storage.trial(reserved.trial_id)
            points[reserved.number] = SampledPoint(
                dict(drawn.params), storage.new_attrs(reserved.trial_id), storage.new_study_attrs
            )
        return points


def refuse_conditional(name: str, space: SearchSpace) -> list[Refusal]:
    """Return that a sampler needs every parameter at every point, if the space is conditional."""
    if not space.is_conditional:
        return []
    message = (
        f"{name} cannot search a conditional space: it needs every parameter at every point; "
        "use tpe or random, or a study for each branch"
    )
    return [Refusal("name", message)]


def trial_seed(study_seed: int, number: int, n_refused: int = 0) -> int:
    """Return 32 bits for one trial's generator, independent between trials and studies."""
    text = f"{study_seed}:{number}" + (f":{n_refused}" if n_refused else "")
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def _suggest_from(trial: optuna.Trial) -> Callable[[str, Domain], ParameterValue]:
    def suggest(name: str, domain: Domain) -> ParameterValue:
        if isinstance(domain, FloatDomain):
            return trial.suggest_float(
                name, domain.low, domain.high, log=domain.log, step=domain.step
            )
        if isinstance(domain, IntDomain):
            return trial.suggest_int(
                name, domain.low, domain.high, log=domain.log, step=domain.step
            )
        return trial.suggest_categorical(name, domain.choices)

    return suggest
