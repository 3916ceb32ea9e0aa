import math
from collections import Counter
from collections.abc import Sequence

import optuna
import pytest
from optuna.trial import FrozenTrial

from hpsearch.sampling.base import ReservedTrial, Sampler, SampleRequest
from hpsearch.sampling.distributions import to_distribution
from hpsearch.sampling.quasi_random import at_share
from hpsearch.sampling.random import PointDraw, RandomSampler
from hpsearch.sampling.tpe import Tpe
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, FloatDomain, IntDomain, ParameterValue
from tests.studies import definition

SPACE = definition(
    model={"family": "mlp", "hidden_units": {"low": 1, "high": 4}},
    optimizer={"name": "sgd", "learning_rate": {"low": 1e-4, "high": 1.0, "log": True}},
).space
NAMES = ("model.hidden_units[0]", "optimizer.learning_rate")


def ask(
    sampler: Sampler, numbers: Sequence[int], history: Sequence[FrozenTrial] = (), seed: int = 0
) -> dict[int, dict[str, ParameterValue]]:
    request = SampleRequest(
        seed=seed,
        space=SPACE,
        directions=(Direction.MAXIMIZE,),
        trials=tuple(ReservedTrial(100 + n, n, n) for n in numbers),
        history=lambda: history,
    )
    return {number: dict(point.params) for number, point in sampler.sample(request).items()}


def finished(number: int, rate: float, value: float) -> FrozenTrial:
    distributions = {name: to_distribution(SPACE.domains[name]) for name in NAMES}
    trial = optuna.trial.create_trial(
        params={NAMES[0]: 2, NAMES[1]: rate}, distributions=distributions, value=value
    )
    trial.number, trial._trial_id = number, 100 + number
    return trial


@pytest.mark.parametrize("sampler", [RandomSampler(), Tpe()])
def test_points_do_not_depend_on_who_else_is_claimed(sampler: Sampler) -> None:
    together, alone = ask(sampler, range(6)), ask(sampler, [4])
    assert together[4] == alone[4]
    assert len({str(point) for point in together.values()}) == 6


@pytest.mark.parametrize("sampler", [RandomSampler(), Tpe()])
def test_another_seed_draws_other_points(sampler: Sampler) -> None:
    assert ask(sampler, range(3), seed=1) != ask(sampler, range(3), seed=2)


def test_random_draws_every_integer_equally_often_and_logs_evenly() -> None:
    points = ask(RandomSampler(), range(4000)).values()
    units = Counter(point[NAMES[0]] for point in points)
    below = sum(float(str(point[NAMES[1]])) < 1e-2 for point in points)
    # five standard deviations of a binomial
    assert all(abs(units[n] - 1000) < 140 for n in (1, 2, 3, 4))
    assert abs(below - 2000) < 160


def test_tpe_proposes_where_good_trials_were() -> None:
    good = [finished(n, 1e-3 * (1 + n / 100), 0.9) for n in range(8)]
    bad = [finished(8 + n, 0.5, 0.1) for n in range(24)]

    points = ask(Tpe(), range(40, 56), [*good, *bad])

    near = [point for point in points.values() if float(str(point[NAMES[1]])) < 1e-2]
    assert len(near) >= 12


def test_tpe_counts_the_trials_of_its_own_claim_as_running() -> None:
    history = [finished(n, 1e-3, 0.9) for n in range(12)]
    points = ask(Tpe(), range(20, 26), history)
    assert len({point[NAMES[1]] for point in points.values()}) == 6


@pytest.mark.parametrize(
    "domain",
    [
        FloatDomain(0.1, 0.7, step=0.2),
        FloatDomain(-1e308, 1e308),
        FloatDomain(1e-300, 1e300, log=True),
        IntDomain(1, 9, step=4),
        IntDomain(1, 1000, log=True),
        CategoricalDomain((None, True, 1, "x")),
    ],
)
def test_points_stay_inside_every_kind_of_domain(
    domain: FloatDomain | IntDomain | CategoricalDomain,
) -> None:
    distribution = to_distribution(domain)
    for index in range(200):
        for value in (PointDraw(0, index)("x", domain), at_share(domain, index / 200)):
            assert distribution._contains(distribution.to_internal_repr(value))
    last = at_share(domain, math.nextafter(1.0, 0.0))
    assert distribution._contains(distribution.to_internal_repr(last))
