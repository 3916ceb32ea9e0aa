"""Steps that are played from a tape are the steps themselves, to the last bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.layers import affine
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.native.processor import processor
from hpsearch.optimizers.base import REGISTRY
from hpsearch.optimizers.schedules import Cosine
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training import stepwise
from hpsearch.training.engine import Engine
from hpsearch.training.step import Step
from hpsearch.training.taped import Taped
from tests.lanes import LOWEST_LOSS, Caller, byte_splits, class_splits, play, trial

pytestmark = pytest.mark.skipif(processor() is None, reason="no kernels for this processor")

SPLITS = {"reals": class_splits(), "bytes": byte_splits()}
# two lanes stay, one leaves and another one comes; the last of them are widths of their own
WIDTHS, EPOCHS = (20, 19, 20, 18), (4, 2, 3, 2)


def configs(
    rule: str = "sgd", sizes: tuple[int, ...] = (1, 1), batch_size: int = 33, **settings: Any
) -> list[TrialConfig]:
    """Return trials of layers that are as wide as ``sizes`` times a lane's width."""
    model = {key: settings.pop(key) for key in ("activation", "dropout") if key in settings}
    return [
        trial(
            model=Mlp.model_validate({"hidden_units": tuple(width * n for n in sizes), **model}),
            optimizer=REGISTRY[rule](
                learning_rate=0.01 / (1 + number), l2=1e-3 * number, schedule=Cosine()
            ),
            epochs=epochs,
            batch_size=batch_size,
            label_smoothing=0.05 * number,
            **settings,
        )
        for number, (width, epochs) in enumerate(zip(WIDTHS, EPOCHS, strict=True))
    ]


@pytest.fixture(autouse=True)
def without_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels do what may be rounded, too, on processors where torch does it."""
    found = processor()
    assert found is not None
    monkeypatch.setattr(affine, "processor", lambda: replace(found, has_tiles=False))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many steps were asked of tapes at a time."""
    found: list[int] = []
    take = Taped.take

    def noted(self: Taped, numbers: range, *rest: Any) -> None:
        found.append(len(numbers))
        take(self, numbers, *rest)

    monkeypatch.setattr(Taped, "take", noted)
    return found


def both(
    monkeypatch: pytest.MonkeyPatch,
    trials: list[TrialConfig],
    stored: str = "reals",
    **settings: Any,
) -> tuple[Caller, Caller]:
    """Return what becomes of trials with tapes and without."""
    engine = {"lanes": 3, **settings}
    taped = play(Engine(SPLITS[stored], LOWEST_LOSS, 1, **engine), trials)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "is_kernels", False)
        by_step = play(Engine(SPLITS[stored], LOWEST_LOSS, 1, **engine), trials)
    return taped, by_step


def assert_same(one: Caller, other: Caller) -> None:
    for number in one.ends:
        assert one.curve(number) == other.curve(number)
        ours, theirs = one.ends[number].weights, other.ends[number].weights
        assert ours is not None
        assert theirs is not None
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.parametrize("stored", ["reals", "bytes"])
@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_tapes_change_no_bit(
    stored: str,
    data_order: str,
    precision: str,
    played: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = configs(data_order=data_order)
    assert_same(*both(monkeypatch, trials, stored, precision=precision))
    assert played


@pytest.mark.parametrize("rule", sorted(REGISTRY))
def test_tapes_of_a_rule_change_no_bit(
    rule: str, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(*both(monkeypatch, configs(rule, (2,)), dtype=torch.float64))
    assert played


@pytest.mark.parametrize("sizes", [(), (1,), (3, 1, 2)])
def test_tapes_of_any_depth_change_no_bit(
    sizes: tuple[int, ...], played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(*both(monkeypatch, configs(sizes=sizes, activation="leaky_relu")))
    assert played


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu"])
def test_so_it_is_with_other_activations(
    activation: str, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(*both(monkeypatch, configs(activation=activation)))
    assert bool(played) is (activation != "gelu")


@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize(
    ("cell", "stored", "settings"),
    [
        ("vanilla", "bytes", {"activation": "relu"}),
        ("gru", "reals", {"hidden_layers": 2, "dropout": 0.2}),
        ("lstm", "bytes", {"steps": 2}),
    ],
)
def test_tapes_of_sequences_change_no_bit(
    cell: str,
    stored: str,
    settings: dict[str, Any],
    data_order: str,
    played: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = [
        trial(
            model=Recurrent.model_validate(
                {"cell": cell, "hidden_units": width, "steps": 4, **settings}
            ),
            optimizer=REGISTRY["adam"](learning_rate=0.01 / (1 + number), l2=1e-3 * number),
            epochs=epochs,
            batch_size=9,
            data_order=data_order,
        )
        for number, (width, epochs) in enumerate(zip(WIDTHS, EPOCHS, strict=True))
    ]
    assert_same(*both(monkeypatch, trials, stored, precision="fast"))
    assert played


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "gelu"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_so_it_is_where_lanes_drop(
    activation: str, precision: str, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = configs(activation=activation)
    trials[1::2] = configs(activation=activation, dropout=(0.3, 0.0))[1::2]
    assert_same(*both(monkeypatch, trials, precision=precision))
    # padding that does not stay zero by itself takes a mask, which is no kernel
    is_masked = activation == "sigmoid" and precision == "fast"
    assert bool(played) is (activation != "gelu" and not is_masked)


def test_a_long_epoch_is_made_ready_in_windows(
    played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = configs(batch_size=3, data_order="per_trial", dropout=(0.3, 0.0))
    whole = play(Engine(SPLITS["reals"], LOWEST_LOSS, 1, lanes=3), trials)
    n_calls = len(played)
    monkeypatch.setattr(stepwise, "_WINDOW", 7)
    in_parts = play(Engine(SPLITS["reals"], LOWEST_LOSS, 1, lanes=3), trials)
    assert_same(whole, in_parts)
    assert len(played) > 2 * n_calls


def test_an_epoch_of_many_steps_is_played_in_few_calls(
    played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 100 steps: every kind of them, also of those that are looked at
    assert_same(*both(monkeypatch, configs(batch_size=2)))
    assert max(played) == 15  # every 16th is looked at


def test_a_batch_larger_than_the_data_is_no_whole_one(
    played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(*both(monkeypatch, configs(batch_size=1000)))
    assert set(played) <= {1}


def test_a_neighbour_that_diverges_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    tame = trial(optimizer=Sgd(learning_rate=0.05), epochs=3)
    infinite = {"init": "normal", "init_scale": 1e38}  # too large for the loss to be a number
    model = Mlp(hidden_units=(16,)).model_copy(update=infinite)
    wild = trial(model=model, optimizer=Sgd(learning_rate=1.0), epochs=3)
    taped, by_step = both(monkeypatch, [tame, wild, tame])
    for number in (0, 2):
        assert taped.curve(number) == by_step.curve(number)
    assert taped.ends[1].outcome is by_step.ends[1].outcome
