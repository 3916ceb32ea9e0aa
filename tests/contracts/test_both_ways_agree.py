"""Our own kernels and plain torch train the same networks, and tell the same of them."""

import numpy as np
import pytest
import torch

from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.native.processor import processor
from hpsearch.optimizers.base import REGISTRY
from hpsearch.spec.config import TrialConfig
from hpsearch.training.engine import Engine
from tests.lanes import LOWEST_LOSS, Caller, byte_splits, class_splits, line_splits, play, trial

pytestmark = pytest.mark.skipif(processor() is None, reason="no kernels for this processor")

TOLERANCE = 1e-8  # float64 differs by the order of sums only, which some hundred steps add up
SPLITS = {"reals": class_splits(), "bytes": byte_splits(), "regression": line_splits()}


def assert_agree(
    request: pytest.FixtureRequest, trials: list[TrialConfig], stored: str = "reals"
) -> None:
    """Compare weights and all metrics, those of gradients and changes on the way included."""

    def played() -> Caller:
        engine = Engine(SPLITS[stored], LOWEST_LOSS, 1, lanes=3, dtype=torch.float64)
        return play(engine, trials)

    native = played()
    request.getfixturevalue("plain_torch")
    plain = played()
    for number in range(len(trials)):
        for (_, ours), (_, theirs) in zip(native.curve(number), plain.curve(number), strict=True):
            assert ours == pytest.approx(theirs, rel=TOLERANCE, abs=1e-12)
        mine, other = native.ends[number].weights, plain.ends[number].weights
        assert mine is not None
        assert other is not None
        for name, array in other.items():
            np.testing.assert_allclose(mine[name], array, rtol=1e-6, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    ("stored", "settings"),
    [
        ("reals", {"activation": "relu"}),
        ("bytes", {"activation": "leaky_relu"}),
        ("reals", {"activation": "tanh", "dropout": (0.2, 0.1)}),
        ("bytes", {"activation": "sigmoid"}),
        ("reals", {"activation": "gelu", "dropout": (0.0, 0.3)}),
        ("reals", {"activation": "relu", "batch_norm": True}),
        ("regression", {"activation": "tanh"}),
        ("regression", {"hidden_units": ()}),
        ("bytes", {"hidden_units": ()}),
    ],
)
def test_networks_of_every_kind(
    stored: str, settings: dict[str, object], request: pytest.FixtureRequest
) -> None:
    trials = [
        trial(
            model=Mlp.model_validate({"hidden_units": (width, 10), **settings}),
            optimizer=REGISTRY["sgd"](learning_rate=0.005, momentum=0.5, l2=1e-2 * number),
            epochs=2,
            # 100 steps: those that are looked at, too; norms of two examples are chaotic
            batch_size=10 if "batch_norm" in settings else 2,
            data_order="per_trial" if number % 2 else "shared",
            label_smoothing=0.0 if stored == "regression" else 0.1 * number,
        )
        for number, width in enumerate((16, 15, 14))
    ]
    assert_agree(request, trials, stored)


@pytest.mark.parametrize(
    ("stored", "settings"),
    [
        ("reals", {"cell": "vanilla"}),
        ("bytes", {"cell": "vanilla", "activation": "relu", "hidden_layers": 2}),
        ("reals", {"cell": "gru", "dropout": 0.2}),
        ("bytes", {"cell": "gru", "hidden_layers": 2}),
        ("reals", {"cell": "lstm", "steps": 2}),
        ("bytes", {"cell": "lstm", "hidden_layers": 3, "dropout": 0.1}),
        ("regression", {"cell": "lstm", "steps": 3}),
    ],
)
def test_recurrent_networks(
    stored: str, settings: dict[str, object], request: pytest.FixtureRequest
) -> None:
    trials = [
        trial(
            model=Recurrent.model_validate({"hidden_units": width, "steps": 6, **settings}),
            optimizer=REGISTRY["adam"](
                learning_rate=1e-3, l2=1e-2 * number, gradient_clip_norm=0.5 if number else None
            ),
            epochs=2,
            batch_size=11,
            data_order="per_trial" if number % 2 else "shared",
        )
        for number, width in enumerate((16, 15, 14))
    ]
    assert_agree(request, trials, stored)


@pytest.mark.parametrize("rule", sorted(REGISTRY))
def test_every_rule(rule: str, request: pytest.FixtureRequest) -> None:
    trials = [
        trial(
            model=Mlp(hidden_units=(width,), activation="tanh"),
            optimizer=REGISTRY[rule](learning_rate=1e-3, l2=l2, gradient_clip_norm=clip),
            epochs=2,
            batch_size=2,
        )
        for width, l2, clip in ((16, 0.0, None), (15, 1e-2, None), (14, 1e-2, 1.0))
    ]
    assert_agree(request, trials)
