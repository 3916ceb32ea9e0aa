"""Who may share a pack, and how many."""

import pytest
import torch

from hpsearch.models.mlp import Mlp
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training.capacity import most_lanes, pack_lanes
from hpsearch.training.packing import is_room, signature
from tests.lanes import trial

BASE = trial(model=Mlp(hidden_units=(16, 8)), optimizer=Sgd(), batch_size=20)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def shapes(*widths: int) -> dict[str, tuple[int, ...]]:
    return Mlp(hidden_units=widths).shapes(784, 10)


@pytest.mark.parametrize(
    "other",
    [
        trial(model=Mlp(hidden_units=(16, 8, 8)), optimizer=Sgd(), batch_size=20),
        trial(model=Mlp(hidden_units=(16, 8), activation="tanh"), optimizer=Sgd(), batch_size=20),
        trial(model=Mlp(hidden_units=(16, 8)), optimizer=Adam(), batch_size=20),
        trial(model=Mlp(hidden_units=(16, 8)), optimizer=Sgd(), batch_size=21),
        trial(model=Mlp(hidden_units=(16, 8)), optimizer=Sgd(l1=1e-9), batch_size=20),
        trial(model=Mlp(hidden_units=(16, 8)), optimizer=Sgd(gradient_clip_norm=9), batch_size=20),
    ],
)
def test_depth_activation_rule_batch_size_and_use_of_gradients_divide(other: TrialConfig) -> None:
    assert signature(BASE, 200) != signature(other, 200)


def test_all_else_is_a_lanes_own() -> None:
    other = trial(
        model=Mlp(hidden_units=(9, 3), init="normal", init_scale=1.0),
        optimizer=Sgd(learning_rate=1.0, momentum=0.5, nesterov=True, l2=1),
        batch_size=20,
        epochs=99,
        data_order="per_trial",
        label_smoothing=0.1,
    )
    assert signature(BASE, 200) == signature(other, 200)


def test_batches_beyond_the_data_are_the_same_batch() -> None:
    assert signature(trial(batch_size=200), 200) == signature(trial(batch_size=999), 200)


@pytest.mark.parametrize(
    ("lane", "pack", "is_exact", "fits"),
    [
        ((128,), (128,), True, True),
        ((127,), (128,), True, False),
        ((127,), (128,), False, True),
        ((100,), (128,), False, True),
        ((98,), (128,), False, False),
        ((129,), (128,), False, False),
        ((500, 300), (500, 310), False, True),
        ((500, 310), (501, 300), False, False),
    ],
)
def test_padding_costs_a_third_of_the_lanes_work_at_most(
    lane: tuple[int, ...], pack: tuple[int, ...], is_exact: bool, fits: bool
) -> None:
    assert is_room(shapes(*lane), shapes(*pack), is_exact=is_exact) is fits


@pytest.mark.parametrize(
    ("device", "widths", "lanes"),
    [
        (CPU, (128,), 8),
        (CPU, (256,), 4),
        (CPU, (500, 300), 2),
        (CPU, (4096,), 2),
        (GPU, (128,), 128),
        (GPU, (500, 300), 64),
        (GPU, (65_536,), 4),
    ],
)
def test_auto_gives_wide_networks_fewer_lanes(
    device: torch.device, widths: tuple[int, ...], lanes: int
) -> None:
    assert pack_lanes("auto", device, shapes(*widths)) == lanes


def test_a_number_of_lanes_is_taken_as_it_is() -> None:
    assert most_lanes(3, CPU) == pack_lanes(3, GPU, shapes(65_536)) == 3
    assert most_lanes("auto", GPU) > most_lanes("auto", CPU) > 1
