"""The traps met when lanes were first trained together: each has its test."""

from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.layers.stack import Stack
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import LaneOutcome
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

CPU = torch.device("cpu")
SPLITS = class_splits()


@pytest.mark.usefixtures("cell_way")
@pytest.mark.parametrize(
    ("cell", "cell_way"),
    [(cell, way) for cell in ("vanilla", "gru", "lstm") for way in ("native", "fused")]
    + [(cell, "alone") for cell in ("gru", "lstm")],
    indirect=["cell_way"],
)
def test_gradients_of_two_biases_are_two_tensors(cell: str) -> None:
    # autograd returns one object for both, which clipping in place scaled twice
    model = Recurrent.model_validate({"cell": cell, "hidden_units": 5, "steps": 3})
    shapes = model.shapes(12, 4)
    weights = Stack(shapes, 2, dtype=torch.float64, device=CPU)
    for lane in range(2):
        weights.put(lane, model.initial(12, 4, np.random.default_rng(lane)))
    network = model.network(shapes, n_rows=2, is_exact=True, device=CPU)
    gradients = weights.like()
    keys = torch.zeros((2, network.n_draws, 2), dtype=torch.int32)
    z = network.forward(weights.tensors, torch.randn(7, 12, dtype=torch.float64), keys)
    found = network.backward(weights.tensors, gradients.tensors, torch.randn_like(z))
    by_name = dict(zip(shapes, found, strict=True))
    one, other = by_name["rnn.bias_ih_l0"], by_name["rnn.bias_hh_l0"]
    before = other.clone()
    one.mul_(0.5)
    assert torch.equal(other, before)


def trained(config: TrialConfig, **settings: Any) -> dict[str, np.ndarray[Any, Any]]:
    weights = play(Engine(SPLITS, LOWEST_LOSS, 1, **settings), [config]).ends[0].weights
    assert weights is not None
    return dict(weights)


@pytest.mark.usefixtures("way")
def test_coefficients_are_rounded_last() -> None:
    # 1 - beta2 in single precision is off by a hundred thousandth, which Adam makes 5e-3
    config = trial(
        model=Mlp(hidden_units=(16,), activation="tanh", init="xavier"),
        optimizer=Adam(learning_rate=1e-4, beta2=0.9999),
        epochs=60,  # 600 steps
    )
    single, double = trained(config), trained(config, dtype=torch.float64)
    for name, array in double.items():
        assert np.abs(single[name] - array).max() / np.abs(array).max() < 2e-5, name


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "model",
    [
        Mlp(hidden_units=(16,), batch_norm=True, dropout=(0.2,)),
        Recurrent(cell="vanilla", hidden_units=16, steps=4),
        Recurrent(cell="lstm", hidden_units=16, steps=4),
    ],
    ids=["norm", "vanilla", "lstm"],
)
def test_the_row_of_a_lane_that_became_nan_is_clean_for_the_next(
    model: Mlp | Recurrent,
) -> None:
    # nothing is cleared by multiplying with zero: zero times NaN is NaN
    infinite = {"init": "normal", "init_scale": 1e39}
    wild = trial(model=model.model_copy(update=infinite), optimizer=Adam(), epochs=3)
    tame = trial(model=model, optimizer=Adam(), epochs=4)
    caller = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=2), [wild, tame, wild, tame, tame])
    alone = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=1), [tame] * 5)
    for number in (1, 3, 4):
        assert caller.curve(number) == alone.curve(number)
    assert caller.ends[0].outcome is caller.ends[2].outcome is LaneOutcome.FAILED


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "model",
    [Mlp(hidden_units=(16,), activation="tanh"), Recurrent(cell="vanilla", steps=4)],
    ids=["mlp", "vanilla"],
)
def test_a_neighbours_large_gradient_does_not_clip_a_lane(model: Mlp | Recurrent) -> None:
    # a norm over the whole stack would scale every lane by the largest one's gradient
    loud = trial(
        model=model.model_copy(update={"init": "normal", "init_scale": 10.0}),
        optimizer=Sgd(learning_rate=1e-6, gradient_clip_norm=1.0, l2=100.0),
    )
    quiet = trial(model=model, optimizer=Sgd(learning_rate=0.05, gradient_clip_norm=1.0))
    beside = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=3), [quiet, loud, loud])
    alone = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=1), [quiet])
    assert beside.curve(0) == alone.curve(0)
    assert beside.curve(1)[0][1]["grad_norm"] > 100


@pytest.mark.usefixtures("way")
def test_a_lane_counts_its_own_steps() -> None:
    # Adam's correction at the first step is tenfold; a lane that joins late begins with it
    first, second = (trial(optimizer=Adam(), epochs=n) for n in (2, 5))
    refilled = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=2), [first, second, second])
    alone = play(Engine(SPLITS, LOWEST_LOSS, 1, lanes=1), [first, second, second])
    assert refilled.curve(2) == alone.curve(2)


@pytest.mark.usefixtures("way")
def test_a_dead_relu_network_is_finite_and_seen_by_its_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # no NaN tells of it: its loss stays at log C, and patience is what ends it
    first = Mlp.initial

    def dead(model: Mlp, *args: Any) -> dict[str, np.ndarray[Any, Any]]:
        arrays = first(model, *args)
        return {**arrays, "0.bias": arrays["0.bias"] - 1e3} if model.init == "xavier" else arrays

    monkeypatch.setattr(Mlp, "initial", dead)
    stopping = {"early_stopping": {"patience": 2, "min_delta": 0.05}, "epochs": 9}
    models = (Mlp(hidden_units=(16,), init="xavier"), Mlp(hidden_units=(16,)))
    caller = play(
        Engine(SPLITS, LOWEST_LOSS, 1, lanes=2),
        [trial(model=model, optimizer=Sgd(learning_rate=0.01), **stopping) for model in models],
    )
    of_dead, of_living = ([metrics for _, metrics in caller.curve(n)] for n in (0, 1))
    assert [metrics["dead_units"] for metrics in of_dead] == [1.0, 1.0, 1.0]
    assert of_dead[-1]["val_loss"] == pytest.approx(np.log(4), abs=0.05)
    assert caller.ends[0].outcome is LaneOutcome.COMPLETED
    assert caller.ends[0].stopped_early
    assert max(metrics["dead_units"] for metrics in of_living) < 0.2
