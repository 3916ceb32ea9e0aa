"""A trial's result is its own: to the last bit on a CPU, whoever is trained beside it."""

import numpy as np
import pytest

from hpsearch.models.mlp import Mlp
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.states import FailureKind
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import LaneOutcome, LaneSpec
from tests.lanes import LOWEST_LOSS, Caller, byte_splits, class_splits, play, trial

pytestmark = pytest.mark.usefixtures("way")

N_TRIALS = 11


def assert_same(one: Caller, other: Caller, number: int) -> None:
    assert one.curve(number) == other.curve(number)
    assert one.ends[number].test == other.ends[number].test
    ours, theirs = one.ends[number].weights, other.ends[number].weights
    assert ours is not None
    assert theirs is not None
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def various(
    widths: tuple[int, ...], activation: str, optimizers: list[Optimizer], data_order: str
) -> list[TrialConfig]:
    return [
        trial(
            model=Mlp.model_validate({"hidden_units": widths, "activation": activation}),
            optimizer=optimizers[number % len(optimizers)],
            epochs=2 + number % 3,
            batch_size=33,  # 200 examples: the last batch has 2, where tiny products differ
            data_order=data_order,
        )
        for number in range(N_TRIALS)
    ]


@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize(
    ("widths", "activation"),
    [
        ((64,), "relu"),
        ((37,), "sigmoid"),
        ((33, 17), "tanh"),
        ((24, 24), "gelu"),
        ((1,), "leaky_relu"),
        ((), "relu"),
    ],
)
def test_a_trial_alone_and_among_seven_others_is_the_same_to_the_last_bit(
    widths: tuple[int, ...], activation: str, data_order: str
) -> None:
    optimizers: list[Optimizer] = [
        Sgd(learning_rate=0.05, momentum=0.9),
        Sgd(learning_rate=0.01, nesterov=True, momentum=0.5, l2=1e-3),
        Sgd(learning_rate=0.02, l1=1e-4, gradient_clip_norm=0.5),
    ]
    configs = various(widths, activation, optimizers, data_order)
    splits = class_splits()
    alone = play(Engine(splits, LOWEST_LOSS, 3, lanes=1), configs)
    packed = play(Engine(splits, LOWEST_LOSS, 3, lanes=8), configs)
    for number in range(N_TRIALS):
        assert_same(alone, packed, number)


@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize(
    ("widths", "settings"),
    [
        ((128,), {}),
        ((192, 100), {}),
        ((100, 192), {"activation": "gelu"}),
        ((130, 130), {"batch_norm": True}),
        ((140, 128), {"dropout": (0.2, 0.0)}),
    ],
)
def test_so_is_one_of_products_that_are_worth_another_library(
    widths: tuple[int, ...], settings: dict[str, object], data_order: str
) -> None:
    configs = [
        trial(
            model=Mlp.model_validate({"hidden_units": widths, **settings}),
            optimizer=Sgd(learning_rate=0.05 / (1 + number), momentum=0.9, l2=1e-3),
            epochs=1 + number % 2,  # so that lanes that share their batches meet some that do not
            batch_size=96,
            data_order=data_order,
        )
        for number in range(4)
    ]
    splits = class_splits(240, n_features=70)
    alone = play(Engine(splits, LOWEST_LOSS, 3, lanes=1), configs)
    packed = play(Engine(splits, LOWEST_LOSS, 3, lanes=3), configs)
    for number in range(4):
        assert_same(alone, packed, number)


@pytest.mark.parametrize("stored", ["bytes", "reals"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_what_neighbours_need_more_changes_no_bit_of_a_lane_that_needs_nothing(
    activation: str, stored: str
) -> None:
    # what nobody needs is left out, and steps may be taken another way then
    def one(width: int = 20, dropout: float = 0.0, **settings: object) -> TrialConfig:
        optimizer = {key: settings.pop(key) for key in ("l1", "l2") if key in settings}
        return trial(
            model=Mlp.model_validate(
                {
                    "hidden_units": (width, width),
                    "activation": activation,
                    "dropout": (dropout, dropout),
                }
            ),
            optimizer=Sgd.model_validate({"learning_rate": 0.05, "momentum": 0.9, **optimizer}),
            epochs=3,
            batch_size=9,  # the last batch has 2; steps of every kind
            **settings,
        )

    mine = one(18)
    others = [
        one(dropout=0.3),
        one(l2=1e-2),
        one(19, label_smoothing=0.1),
        one(l1=1e-3),
        one(data_order="per_trial"),
    ]
    splits = byte_splits() if stored == "bytes" else class_splits()
    alone = play(Engine(splits, LOWEST_LOSS, 3, lanes=1), [mine])
    for other in (*others, mine):
        beside = play(Engine(splits, LOWEST_LOSS, 3, lanes=2), [mine, other])
        assert_same(alone, beside, 0)
        swapped = play(
            Engine(splits, LOWEST_LOSS, 3, lanes=2), [LaneSpec(1, other), LaneSpec(0, mine)]
        )
        assert_same(alone, swapped, 0)


@pytest.mark.parametrize("rule", sorted(REGISTRY))
def test_no_update_rule_lets_neighbours_change_a_bit(rule: str) -> None:
    optimizers: list[Optimizer] = [
        REGISTRY[rule](learning_rate=rate, l2=l2) for rate in (1e-3, 1e-2) for l2 in (0.0, 1e-3)
    ]
    configs = various((19,), "relu", optimizers, "shared")
    splits = class_splits()
    alone = play(Engine(splits, LOWEST_LOSS, 3, lanes=1), configs)
    packed = play(Engine(splits, LOWEST_LOSS, 3, lanes=8), configs)
    for number in range(N_TRIALS):
        assert_same(alone, packed, number)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_lane_that_diverges_leaves_its_neighbours_bit_identical(
    name: str, clip: float | None, activation: str
) -> None:
    rule = REGISTRY[name]
    # the wild lane's first weights are too large for its loss to be a number
    model = Mlp.model_validate({"hidden_units": (16,), "activation": activation})
    wild = trial(
        model=model.model_copy(update={"init": "normal", "init_scale": 1e38}),
        optimizer=rule(learning_rate=1.0),
        epochs=4,
    )
    tame = [
        trial(
            model=model,
            optimizer=rule(learning_rate=1e-2, gradient_clip_norm=clip),
            epochs=4,
        )
        for _ in range(3)
    ]
    splits = class_splits()
    with_wild = play(Engine(splits, LOWEST_LOSS, 5, lanes=4), [*tame, wild])
    without = play(Engine(splits, LOWEST_LOSS, 5, lanes=4), tame)
    end = with_wild.ends[3]
    assert end.outcome is LaneOutcome.FAILED
    assert end.failure is not None
    assert end.failure[0] is FailureKind.DIVERGED
    for number in range(3):
        assert_same(with_wild, without, number)
