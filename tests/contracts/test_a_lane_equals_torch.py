"""Every update rule and activation: a lane of a pack is what plain torch would have trained."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hpsearch.datasets.splits import Splits
from hpsearch.models.base import REGISTRY as FAMILIES
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.optimizers.adagrad import Adagrad
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.adamax import Adamax
from hpsearch.optimizers.adamw import AdamW
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.rmsprop import RmsProp
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training import tracker
from hpsearch.training.engine import Engine, Precision
from hpsearch.training.seeds import epoch_order, initial_generator
from tests.lanes import LOWEST_LOSS, class_splits, line_splits, play, trial
from tests.torch_twin import train_outputs

SEED = 11
NOISE = 1e-5  # a bias before batch norm has a gradient of zero, and stays at rounding errors
TOLERANCE = 1e-10  # float64 differs by the order of sums only; 100 steps leave 1e-13 or so


def torch_rule(settings: Optimizer, parameters: Any) -> torch.optim.Optimizer:
    rate = settings.learning_rate
    match settings:
        case Sgd():
            return torch.optim.SGD(
                parameters,
                rate,
                momentum=settings.momentum,
                nesterov=settings.nesterov and settings.momentum > 0,
            )
        case AdamW():
            return torch.optim.AdamW(
                parameters,
                rate,
                (settings.beta1, settings.beta2),
                settings.eps,
                settings.weight_decay,
            )
        case Adam():
            return torch.optim.Adam(
                parameters, rate, (settings.beta1, settings.beta2), settings.eps
            )
        case RmsProp():
            return torch.optim.RMSprop(
                parameters, rate, settings.alpha, settings.eps, momentum=settings.momentum
            )
        case Adagrad():
            return torch.optim.Adagrad(parameters, rate, eps=settings.eps)
        case Adamax():
            return torch.optim.Adamax(
                parameters, rate, (settings.beta1, settings.beta2), settings.eps
            )
    raise AssertionError(f"teach this test {type(settings).__name__}")


def train_plainly(
    config: TrialConfig, number: int, n_epochs: int, splits: Splits
) -> dict[str, np.ndarray[Any, Any]]:
    """Train one trial as a tutorial would, in float64, and return its weights."""
    model, settings = config.model, config.optimizer
    assert isinstance(model, Model)
    assert isinstance(settings, Optimizer)
    network = model.plain(splits.n_inputs, splits.n_outputs).double()
    initial = model.initial(splits.n_inputs, splits.n_outputs, initial_generator(SEED, number))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()})
    optimizer = torch_rule(settings, network.parameters())
    weights = [weight for weight in network.parameters() if weight.dim() == 2]
    x = torch.from_numpy(splits.train.x).double()
    y = torch.from_numpy(splits.train.y)
    loss_of = (
        nn.CrossEntropyLoss(label_smoothing=config.training.label_smoothing)
        if y.dim() == 1
        else nn.MSELoss()
    )
    own = number if config.training.data_order == "per_trial" else None
    step, n_steps = 0, math.ceil(len(x) / config.training.batch_size)
    for epoch in range(1, n_epochs + 1):
        order = torch.from_numpy(epoch_order(SEED, epoch, len(x), own))
        for batch in torch.split(order, config.training.batch_size):
            optimizer.zero_grad()
            step += 1
            (rate,) = settings.rates(  # compared with torch's schedules in a test of its own
                np.array([step]), n_steps=n_steps, n_epochs=config.training.epochs
            )
            for group in optimizer.param_groups:
                group["lr"] = float(rate)
            outputs = train_outputs(config, network, x[batch], seed=SEED, number=number, step=step)
            loss = loss_of(outputs, y[batch])
            for weight in weights:
                loss = loss + settings.l1 * weight.abs().sum()
                loss = loss + settings.l2 / 2 * weight.square().sum()
            loss.backward()
            if settings.gradient_clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip_norm)
            optimizer.step()
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def assert_lanes_equal_torch(
    configs: list[TrialConfig], splits: Splits, precision: Precision = "fast", lanes: int = 3
) -> None:
    engine = Engine(
        splits, LOWEST_LOSS, SEED, precision=precision, lanes=lanes, dtype=torch.float64
    )
    caller = play(engine, configs)
    for number, config in enumerate(configs):
        end = caller.ends[number]
        assert end.weights is not None, end.failure
        assert end.best_epoch is not None
        plain = train_plainly(config, number, end.best_epoch, splits)
        assert end.weights.keys() == plain.keys()
        for name, array in plain.items():
            scale = np.abs(array).max() + NOISE
            error = np.abs(end.weights[name] - array).max() / scale
            assert error < TOLERANCE, f"trial {number} {name}: {error}"


# widths differ within the 1.3 of a pack, epochs differ so that lanes retire and others follow
WIDTHS = [(20, 14), (19, 13), (20, 12), (18, 14), (20, 14)]
EPOCHS = [10, 4, 10, 6, 5]

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu")

RULES: dict[str, list[Optimizer]] = {
    "sgd": [
        Sgd(learning_rate=0.02, momentum=0.9, l2=1e-3),
        Sgd(learning_rate=0.05),
        Sgd(learning_rate=0.01, momentum=0.8, nesterov=True, l1=1e-4),
        Sgd(learning_rate=0.01, momentum=0.95, gradient_clip_norm=0.5),
        Sgd(learning_rate=0.02, nesterov=True),
    ],
    "adam": [
        Adam(learning_rate=1e-3),
        Adam(learning_rate=3e-3, beta1=0.8, beta2=0.99, l2=1e-3),
        Adam(learning_rate=1e-3, eps=1e-4, gradient_clip_norm=1.0),
        Adam(learning_rate=1e-2, beta1=0.0),
        Adam(learning_rate=2e-3, l1=1e-4),
    ],
    "adamw": [
        AdamW(),
        AdamW(weight_decay=0.1, learning_rate=3e-3),
        AdamW(weight_decay=0.0),
        AdamW(l2=1e-3),
        AdamW(beta1=0.5),
    ],
    "rmsprop": [
        RmsProp(learning_rate=1e-3),
        RmsProp(learning_rate=1e-3, momentum=0.9),
        RmsProp(learning_rate=3e-3, alpha=0.9, l2=1e-3),
        RmsProp(learning_rate=1e-3, eps=1e-3),
        RmsProp(learning_rate=1e-3, gradient_clip_norm=1.0),
    ],
    "adagrad": [
        Adagrad(),
        Adagrad(learning_rate=0.05),
        Adagrad(l2=1e-3),
        Adagrad(eps=1e-3),
        Adagrad(l1=1e-4),
    ],
    "adamax": [
        Adamax(),
        Adamax(learning_rate=1e-2, beta1=0.5),
        Adamax(beta2=0.9),
        Adamax(l2=1e-3),
        Adamax(gradient_clip_norm=1.0),
    ],
}


def test_every_installed_update_rule_is_compared_with_torch() -> None:
    assert set(RULES) >= set(REGISTRY)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_an_update_rule_is_torchs_in_every_lane(rule: str, precision: Precision) -> None:
    configs = [
        trial(
            model=Mlp(hidden_units=widths, activation="tanh", init="xavier"),
            optimizer=optimizer,
            epochs=epochs,
        )
        for widths, epochs, optimizer in zip(WIDTHS, EPOCHS, RULES[rule], strict=True)
    ]
    assert_lanes_equal_torch(configs, class_splits(), precision)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_torchs_in_every_lane(activation: str, data_order: str) -> None:
    configs = [
        trial(
            model=Mlp.model_validate({"hidden_units": widths, "activation": activation}),
            optimizer=Sgd(learning_rate=0.02, momentum=0.5, l2=1e-3),
            epochs=epochs,
            data_order=data_order,
            batch_size=24,  # 200 examples: the last batch has 8
        )
        for widths, epochs in zip(WIDTHS, EPOCHS, strict=True)
    ]
    assert_lanes_equal_torch(configs, class_splits())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_network_of_any_depth_is_torchs(depth: int) -> None:
    configs = [trial(model=Mlp(hidden_units=(9,) * depth), epochs=4) for _ in range(3)]
    assert_lanes_equal_torch(configs, class_splits())


@pytest.mark.usefixtures("way")
def test_label_smoothing_is_torchs_and_a_lanes_own() -> None:
    configs = [trial(epochs=4, label_smoothing=smoothing) for smoothing in (0.0, 0.1, 0.3)]
    assert_lanes_equal_torch(configs, class_splits())


@pytest.mark.usefixtures("way")
def test_a_regression_is_torchs() -> None:
    configs = [
        trial(model=Mlp(hidden_units=(width,)), optimizer=Sgd(learning_rate=0.01), epochs=5)
        for width in (16, 15, 1)
    ]
    assert_lanes_equal_torch(configs, line_splits())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("has_norm", "dropout"), [(False, 0.3), (True, 0.0), (True, 0.3)])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_dropout_and_batch_norm_are_torchs_in_every_lane(
    activation: str, has_norm: bool, dropout: float
) -> None:
    configs = [
        trial(
            model=Mlp.model_validate(
                {
                    "hidden_units": widths,
                    "activation": activation,
                    "batch_norm": has_norm,
                    "dropout": (dropout * (number % 3), dropout / 2),
                }
            ),
            optimizer=Sgd(learning_rate=0.02, momentum=0.5, l2=1e-3),
            epochs=epochs,
            batch_size=24,  # 200 examples: the last batch has 8
        )
        for number, (widths, epochs) in enumerate(zip(WIDTHS, EPOCHS, strict=True))
    ]
    assert_lanes_equal_torch(configs, class_splits())


CELLS = [("vanilla", "tanh"), ("vanilla", "relu"), ("gru", "tanh"), ("lstm", "tanh")]


def sequences(cell: str, activation: str, dropout: float, n_layers: int) -> list[TrialConfig]:
    # widths within the 1.3 of a pack; the epochs make lanes retire and others follow
    return [
        trial(
            model=Recurrent.model_validate(
                {
                    "cell": cell,
                    "activation": activation,
                    "hidden_layers": n_layers,
                    "hidden_units": width,
                    "steps": 4,
                    "dropout": dropout * (number % 3),
                }
            ),
            optimizer=Adam(learning_rate=2e-3, gradient_clip_norm=0.5 if number % 2 else None),
            epochs=epochs,
            batch_size=24,
            data_order="per_trial" if number % 2 else "shared",
        )
        for number, (width, epochs) in enumerate(zip((16, 15, 16, 14, 16), EPOCHS, strict=True))
    ]


@pytest.mark.usefixtures("cell_way")
@pytest.mark.parametrize(
    ("cell", "activation", "cell_way", "n_layers", "dropout"),
    [(*one, "native", *layers) for one in CELLS for layers in ((1, 0.0), (2, 0.25))]
    + [(*one, "fused", 2, 0.25) for one in CELLS]
    + [(one, "tanh", "alone", 1, 0.0) for one in ("gru", "lstm")],
    indirect=["cell_way"],
)
def test_a_recurrent_cell_is_torchs_in_every_lane(
    cell: str, activation: str, dropout: float, n_layers: int
) -> None:
    configs = sequences(cell, activation, dropout, n_layers)
    assert_lanes_equal_torch(configs, class_splits(), "exact" if n_layers == 1 else "fast")


@pytest.fixture
def _last_epoch_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the last epoch's weights those that are compared: 100 steps behind the first."""
    monkeypatch.setattr(tracker, "_is_better", lambda *_: True)


# with two lanes the second is refilled in the middle, by a network of another width
TOGETHER = ((16, 10), (14, 5), (15, 5))  # width, epochs of 10 steps


def everything(rule: str, number: int, **settings: Any) -> Optimizer:
    """Return settings with all that can be set at once, but for the second trial."""
    kind = REGISTRY[rule]
    if number != 1:
        settings |= {"l1": 1e-4, "l2": 1e-3 * (1 + number), "gradient_clip_norm": 0.5}
        settings["schedule"] = {"name": "cosine", "warmup_epochs": 1 + number / 4}
    if "momentum" in kind.model_fields:
        settings["momentum"] = 0.3 * (1 + number)
    if "nesterov" in kind.model_fields:
        settings["nesterov"] = number == 2
    wanted = {"learning_rate": 4e-3 / (1 + number), **settings}
    made: Optimizer = kind.model_validate(
        {k: v for k, v in wanted.items() if k in kind.model_fields}
    )
    return made


# every pair of rule and activation by our own kernels; plain torch sees each rule, each activation
PAIRS = [
    (rule, activation, way)
    for i, rule in enumerate(sorted(REGISTRY))
    for j, activation in enumerate(ACTIVATIONS)
    for way in ("native", "torch")
    if way == "native" or i % len(ACTIVATIONS) == j
]


@pytest.mark.usefixtures("_last_epoch_is_best", "way")
@pytest.mark.parametrize(("rule", "activation", "way"), PAIRS, indirect=["way"])
def test_perceptrons_with_everything_at_once_are_torchs(rule: str, activation: str) -> None:
    has_norm = activation in {"relu", "sigmoid", "gelu"}
    # adaptive steps of a gradient that is zero but for rounding are noise, unless eps is above it
    eps = {"eps": 1e-2} if has_norm else {}
    configs = [
        trial(
            model=Mlp.model_validate(
                {
                    "hidden_units": (width, width - 3),
                    "activation": activation,
                    "batch_norm": has_norm,
                    "dropout": (0.2 * number, 0.1),
                }
            ),
            optimizer=everything(rule, number, **eps),
            epochs=epochs,
            label_smoothing=0.05 * number,
            data_order="per_trial" if number else "shared",
        )
        for number, (width, epochs) in enumerate(TOGETHER)
    ]
    assert_lanes_equal_torch(configs, class_splits(), lanes=2)


@pytest.mark.usefixtures("_last_epoch_is_best", "cell_way")
@pytest.mark.parametrize(
    ("rule", "cell", "activation", "cell_way"),
    [(rule, *one, "native") for rule in sorted(REGISTRY) for one in CELLS]
    + [(rule, *CELLS[i % len(CELLS)], "fused") for i, rule in enumerate(sorted(REGISTRY))]
    # where torch's own kernels run, gradients come lane by lane, and rules see no difference
    + [(rule, cell, "tanh", "alone") for rule, cell in (("sgd", "gru"), ("adam", "lstm"))],
    indirect=["cell_way"],
)
def test_recurrent_networks_with_everything_at_once_are_torchs(
    rule: str, cell: str, activation: str
) -> None:
    configs = [
        trial(
            model=Recurrent.model_validate(
                {
                    "cell": cell,
                    "activation": activation,
                    "hidden_units": width,
                    "steps": 3,
                    "dropout": 0.2 * number,
                }
            ),
            optimizer=everything(rule, number),
            epochs=epochs,
            label_smoothing=0.05 * number,
        )
        for number, (width, epochs) in enumerate(TOGETHER)
    ]
    assert_lanes_equal_torch(configs, class_splits(), lanes=2)


def test_every_installed_family_is_compared_with_torch() -> None:
    assert set(FAMILIES) == {"mlp", "recurrent"}, "teach this file the new family"
