"""The update lane by lane is the update of all lanes together, and survives without kernels."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.layers.network import Network
from hpsearch.models.mlp import Mlp
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.sgd import Sgd
from hpsearch.training import update as update_module
from hpsearch.training.diagnosis import Watch
from hpsearch.training.engine import Engine
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import LaneSpec
from hpsearch.training.resident import Resident
from hpsearch.training.tracker import Tracker
from hpsearch.training.update import Trained
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

CLASSES = class_splits()


def settings(name: str) -> list[Optimizer]:
    rule = REGISTRY[name]
    others = [rule(momentum=0.5, l2=1e-2)] if "momentum" in rule.model_fields else []
    return [
        rule(),
        rule(l2=1e-2),
        rule(l1=1e-3),
        rule(l2=1e-2, gradient_clip_norm=0.5),
        *others,
    ]


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_without_torchs_private_kernels_the_results_are_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(REGISTRY[name], "pays_from", 0)  # else the networks are too small
    configs = [trial(optimizer=optimizer, epochs=6) for optimizer in settings(name)]
    engine = Engine(CLASSES, LOWEST_LOSS, 1, lanes=len(configs), dtype=torch.float64)
    fast = play(engine, configs)
    monkeypatch.setattr(update_module, "has_kernel", lambda _: False)
    plain = play(engine, configs)
    for number in range(len(configs)):
        ours, theirs = fast.ends[number].weights, plain.ends[number].weights
        assert ours is not None
        assert theirs is not None
        for parameter, array in theirs.items():
            np.testing.assert_allclose(ours[parameter], array, rtol=1e-9, atol=1e-12)


def test_this_torch_has_the_kernels() -> None:
    # where it has not, training is right but slow, and somebody should know
    missing = {name for name in REGISTRY if not update_module.has_kernel(REGISTRY[name])}
    assert missing == set()


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize(("size", "kind"), [(65_535, "Together"), (65_536, "LaneByLane")])
def test_the_update_of_small_lanes_is_that_of_all_where_it_takes_many_kernels(
    size: int, kind: str
) -> None:
    resident = Resident(CLASSES, device=torch.device("cpu"), dtype=torch.float32)
    spec = LaneSpec(0, trial(optimizer=REGISTRY["adamax"]()))
    lane = Lane(spec, {}, size, Tracker(LOWEST_LOSS, None))
    rows = [torch.zeros(1, 1, size)]
    trained = Trained(rows, rows, [rows, rows], [True])
    assert type(update_module.update_of([lane], 1, resident, trained)).__name__ == kind


@pytest.mark.usefixtures("way")
def test_a_neighbour_that_clips_changes_no_bit_of_a_lane_with_a_penalty() -> None:
    mine = trial(optimizer=Sgd(learning_rate=0.05, momentum=0.9, l2=1e-2), epochs=5)
    other = trial(optimizer=Sgd(learning_rate=0.05, l2=1e-3, gradient_clip_norm=0.1), epochs=5)
    alone = play(Engine(CLASSES, LOWEST_LOSS, 1, lanes=2), [mine])
    beside = play(Engine(CLASSES, LOWEST_LOSS, 1, lanes=2), [mine, other])
    assert alone.curve(0) == beside.curve(0)


@pytest.mark.usefixtures("way")
def test_units_are_dead_that_say_the_same_of_every_example() -> None:
    model = Mlp(hidden_units=(4, 3))
    shapes = model.shapes(2, 2)
    cpu = torch.device("cpu")
    network = model.network(shapes, n_rows=2, is_exact=True, device=cpu)
    generator = torch.Generator().manual_seed(4)
    weights = [
        torch.randn(2, *shape, generator=generator).reshape(2, shape[0], -1)
        for shape in shapes.values()
    ]
    weights[1][0, :2] = -1e6  # the first two units of the first lane never fire
    weights[2][1] = 0.0  # all of the second lane's second layer puts out its bias
    watch = Watch(network)
    x = torch.cat((torch.eye(2), -torch.eye(2), torch.ones(1, 2))) * 1e3
    for half in (x[:3], x[3:]):
        watch(network.forward(weights, half), torch.zeros(3))
    dead = watch.dead()
    assert dead is not None
    alive = [
        [(h.amax(1) > h.amin(1)).tolist() for h in layer]
        for layer in _outputs(network, weights, x)
    ]
    expected = [sum(not is_one for layer in alive for is_one in layer[k]) for k in (0, 1)]
    assert dead == expected
    assert dead[0] >= 2
    assert dead[1] >= 3


def _outputs(network: Network, weights: list[Tensor], x: Tensor) -> list[Tensor]:
    network.forward(weights, x)
    return list(network.hidden())


@pytest.mark.usefixtures("way")
def test_padding_is_not_counted_among_dead_units() -> None:
    engine = Engine(CLASSES, LOWEST_LOSS, 1, lanes=2, precision="fast", dtype=torch.float64)
    models = [Mlp(hidden_units=(width,), activation="tanh") for width in (16, 13)]
    caller = play(engine, [trial(model=model, epochs=1) for model in models])
    assert [caller.epochs[n][0].metrics["dead_units"] for n in (0, 1)] == [0.0, 0.0]


@pytest.mark.usefixtures("way")
def test_norm_and_ratio_are_those_of_the_weights() -> None:
    rate = 1e-3
    config = trial(optimizer=Sgd(learning_rate=rate), epochs=1, batch_size=200)
    caller = play(Engine(CLASSES, LOWEST_LOSS, 1, dtype=torch.float64), [config])
    metrics, weights = caller.epochs[0][0].metrics, caller.ends[0].weights
    assert weights is not None
    matrices = [array for array in weights.values() if array.ndim == 2]
    norm = np.sqrt(sum(np.square(array).sum() for array in matrices))
    assert metrics["weight_norm"] == pytest.approx(norm)
    # one step of the epoch: the change is the rate times the gradient of the matrices
    assert 0.5 < metrics["update_ratio"] / (rate * metrics["grad_norm"] / norm) <= 1.0


def test_a_softmax_regression_has_no_units_to_be_dead() -> None:
    caller = play(Engine(CLASSES, LOWEST_LOSS, 1), [trial(model=Mlp(hidden_units=()), epochs=1)])
    assert "dead_units" not in caller.epochs[0][0].metrics
