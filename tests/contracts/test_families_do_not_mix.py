"""Recurrent cells, dropout, batch norm: a trial's result is its own, in any company."""

from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.states import FailureKind
from hpsearch.training.checkpoint import load_state, save_state
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Boundary, LaneOutcome, LaneSpec, Reply
from tests.lanes import LOWEST_LOSS, Caller, class_splits, play, trial

MODELS: dict[str, dict[str, Any]] = {
    "mlp-dropout": {"hidden_units": (19, 16), "dropout": (0.3, 0.1)},
    "mlp-norm": {"hidden_units": (19, 16), "batch_norm": True},
    "mlp-norm-dropout": {
        "hidden_units": (16,),
        "batch_norm": True,
        "dropout": (0.4,),
        "activation": "sigmoid",
    },
    "vanilla": {"cell": "vanilla", "hidden_units": 17},
    "vanilla-relu": {"cell": "vanilla", "hidden_units": 16, "activation": "relu"},
    "vanilla-two": {"cell": "vanilla", "hidden_units": 12, "hidden_layers": 2, "dropout": 0.2},
    "gru": {"cell": "gru", "hidden_units": 13, "dropout": 0.2},
    "lstm": {"cell": "lstm", "hidden_units": 13, "hidden_layers": 2},
}


def model(name: str, **changes: Any) -> Model:
    settings = {**MODELS[name], **changes}
    if "cell" in settings:
        return Recurrent.model_validate({"steps": 4, **settings})
    return Mlp.model_validate(settings)


def various(name: str, n_trials: int, data_order: str = "shared") -> list[TrialConfig]:
    return [
        trial(
            model=model(name),
            optimizer=Sgd(learning_rate=0.05 / (1 + number), momentum=0.5),
            epochs=2 + number % 3,
            batch_size=33,  # 200 examples: the last batch has 2
            data_order=data_order,
        )
        for number in range(n_trials)
    ]


def assert_same(one: Caller, other: Caller, number: int) -> None:
    assert one.curve(number) == other.curve(number)
    assert one.ends[number].test == other.ends[number].test
    ours, theirs = one.ends[number].weights, other.ends[number].weights
    assert ours is not None
    assert theirs is not None
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


@pytest.mark.usefixtures("cell_way")
@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_trial_alone_and_among_seven_others_is_the_same_to_the_last_bit(
    name: str, data_order: str
) -> None:
    configs = various(name, 10, data_order)  # lanes retire and others follow
    splits = class_splits()
    alone = play(Engine(splits, LOWEST_LOSS, 3, lanes=1), configs)
    packed = play(Engine(splits, LOWEST_LOSS, 3, lanes=8), configs)
    for number in range(10):
        assert_same(alone, packed, number)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_trial_resumed_from_its_file_is_the_same_to_the_last_bit(
    name: str, tmp_path: Any
) -> None:
    def pause_after_two(boundary: Boundary) -> Reply:
        return Reply(hand_back_all=any(r.number == 1 and r.end for r in boundary.reports))

    config, short = (trial(model=model(name), optimizer=Adam(), epochs=n) for n in (6, 2))
    splits = class_splits()
    whole = play(Engine(splits, LOWEST_LOSS, 1, lanes=2), [config])
    first = play(Engine(splits, LOWEST_LOSS, 1, lanes=2), [config, short], decide=pause_after_two)
    state = first.handed_back[0].state
    assert state is not None
    save_state(tmp_path / "lane", state)
    resumed = LaneSpec(0, config, load_state(tmp_path / "lane"))
    # in company of another size, in another row
    rest = play(Engine(splits, LOWEST_LOSS, 1, lanes=3), [LaneSpec(5, config), resumed])
    assert first.curve(0) + rest.curve(0) == whole.curve(0)
    assert rest.ends[0].test == whole.ends[0].test


@pytest.mark.usefixtures("cell_way")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_lane_that_diverges_leaves_its_neighbours_bit_identical(name: str) -> None:
    tame = [
        trial(model=model(name), optimizer=Adam(gradient_clip_norm=clip), epochs=3)
        for clip in (None, 1.0, None)
    ]
    # first weights beyond the range of float32: infinite, and not a number once multiplied
    infinite = {"init": "normal", "init_scale": 1e39}
    wild = trial(model=model(name).model_copy(update=infinite), optimizer=Adam(), epochs=3)
    splits = class_splits()
    with_wild = play(Engine(splits, LOWEST_LOSS, 5, lanes=4), [*tame[:2], wild, tame[2]])
    # the same numbers, another trial in the wild one's place
    without = play(Engine(splits, LOWEST_LOSS, 5, lanes=4), [*tame[:2], tame[0], tame[2]])
    end = with_wild.ends[2]
    assert end.outcome is LaneOutcome.FAILED
    assert end.failure is not None
    assert end.failure[0] is FailureKind.DIVERGED
    for number in (0, 1, 3):
        assert_same(with_wild, without, number)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_stored_model_is_the_one_that_was_measured(name: str) -> None:
    splits = class_splits()
    caller = play(Engine(splits, LOWEST_LOSS, 5), [trial(model=model(name), epochs=3)])
    end = caller.ends[0]
    assert end.weights is not None
    assert end.test is not None
    plain = model(name).plain(splits.n_inputs, splits.n_outputs).eval()
    plain.load_state_dict({key: torch.from_numpy(a) for key, a in end.weights.items()})
    with torch.no_grad():
        z = plain(torch.from_numpy(splits.test.x))
        loss = torch.nn.functional.cross_entropy(z, torch.from_numpy(splits.test.y)).item()
    assert loss == pytest.approx(end.test["loss"], rel=1e-5)
