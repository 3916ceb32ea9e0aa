"""On a GPU: the same trials as in plain torch, recorded or not, and nobody waits in a step.

    .venv/bin/python -m pytest tests/gpu

Without CUDA these tests are skipped; what they leave to the GPU alone is the recording itself,
Triton's compiler, and CUDA's arithmetic. The rest runs on CPUs, in tests/unit/training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.layers import dropout, recurrent
from hpsearch.layers.cells import Gru
from hpsearch.layers.kernel_layer import kernels_of
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.schedules import Cosine
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training import losses, program, table_update
from hpsearch.training import pack as pack_module
from hpsearch.training.engine import Engine, matmul_precision
from hpsearch.training.graphs import CudaRecorder, Recorder
from hpsearch.training.lanes import LaneOutcome
from hpsearch.training.planner import Planner
from tests.contracts.test_a_lane_equals_torch import SEED, train_plainly
from tests.lanes import LOWEST_LOSS, Caller, class_splits, play, trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

CLASSES = class_splits()
EPOCHS = (8, 3, 8, 5, 4)  # lanes retire, others follow
RULES: list[Optimizer] = [
    Sgd(learning_rate=0.02, momentum=0.9, l2=1e-3, schedule=Cosine()),
    Sgd(learning_rate=0.05, nesterov=True, momentum=0.5, gradient_clip_norm=0.3),
    Sgd(learning_rate=0.02, l1=1e-4),
]
MODELS: dict[str, Model] = {
    "relu": Mlp(hidden_units=(20, 14), dropout=(0.2, 0.1)),
    "sigmoid": Mlp(hidden_units=(20,), activation="sigmoid", batch_norm=True),
    "rnn": Recurrent(cell="vanilla", hidden_units=9, steps=4),
    "gru": Recurrent(cell="gru", hidden_units=9, hidden_layers=2, steps=4, dropout=0.2),
    "lstm": Recurrent(cell="lstm", hidden_units=9, steps=4),
}


class StepByStep(Recorder):
    """Records nothing: every step is told to the device anew."""

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


def engine(**settings: Any) -> Engine:
    settings = {"device": "cuda", "lanes": 3, "dtype": torch.float64, **settings}
    return Engine(CLASSES, LOWEST_LOSS, SEED, **settings)


def trials(model: Model, rules: list[Optimizer]) -> list[TrialConfig]:
    return [
        trial(model=model, optimizer=rules[n % len(rules)], epochs=epochs, batch_size=33)
        for n, epochs in enumerate(EPOCHS)
    ]


def assert_close(one: Caller, other: Caller, tolerance: float) -> None:
    for number, end in one.ends.items():
        ours, theirs = end.weights, other.ends[number].weights
        assert ours is not None
        assert theirs is not None
        for name, array in ours.items():
            np.testing.assert_allclose(array, theirs[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_a_lane_equals_plain_torch(name: str) -> None:
    configs = trials(MODELS[name], RULES)
    caller = play(engine(), configs)
    for number, config in enumerate(configs):
        end = caller.ends[number]
        assert end.weights is not None, end.failure
        assert end.best_epoch is not None
        plain = train_plainly(config, number, end.best_epoch, CLASSES)
        for parameter, array in plain.items():
            scale = np.abs(array).max() + 1e-5
            error = np.abs(end.weights[parameter] - array).max() / scale
            assert error < 1e-9, f"trial {number} {parameter}: {error}"


@pytest.mark.parametrize("rule", sorted(REGISTRY))
def test_kernels_and_graphs_change_nothing(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules: list[Optimizer] = [
        REGISTRY[rule](learning_rate=rate, l2=l2) for rate, l2 in ((1e-2, 0.0), (1e-3, 1e-3))
    ]
    configs = trials(MODELS["relu"], rules)
    replays: list[int] = []
    record = CudaRecorder.record

    def counted(self: CudaRecorder, work: Callable[[], None]) -> Callable[[], None]:
        replay = record(self, work)

        def count() -> None:
            replays.append(1)
            replay()

        return count

    monkeypatch.setattr(CudaRecorder, "record", counted)
    assert table_update.launch_of(REGISTRY[rule], ("none",), "cuda") is None
    recorded = play(engine(), configs)
    assert len(replays) > 50, "the steps were not recorded"
    for user in (table_update, losses, program, dropout):
        monkeypatch.setattr(user, "has_kernels", lambda _: False)
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: StepByStep())
    assert_close(recorded, play(engine(), configs), 1e-10)


@pytest.mark.parametrize("name", ["rnn", "relu rnn", "gru", "lstm"])
def test_cells_as_kernels_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    relu = Recurrent(cell="vanilla", activation="relu", hidden_units=9, steps=4)
    configs = trials(MODELS.get(name, relu), RULES)
    assert kernels_of(Gru(), torch.device("cuda")) is not None
    fused = play(engine(), configs)
    monkeypatch.setattr(recurrent, "kernels_of", lambda *_: None)
    assert_close(fused, play(engine(), configs), 1e-10)


def test_there_is_a_kernel_for_adam_here() -> None:
    names = ("beta1", "beta2", "new1", "new2", "step_size", "root_correction", "eps")
    assert table_update.launch_of(Adam, names, "cuda") is not None


def test_a_lane_that_diverges_changes_no_bit_of_its_neighbours() -> None:
    huge = Mlp(hidden_units=(16,)).model_copy(update={"init": "normal", "init_scale": 1e300})
    tame = [trial(optimizer=Sgd(learning_rate=r, momentum=0.9), epochs=3) for r in (0.1, 0.01)]
    wild = play(engine(), [*tame, trial(model=huge, epochs=3)])
    quiet = play(engine(), [*tame, trial(optimizer=Sgd(learning_rate=1e-3), epochs=3)])
    assert wild.ends[2].outcome is LaneOutcome.FAILED
    for number in (0, 1):
        # the first epoch: beyond it, the packs have different numbers of lanes
        assert wild.curve(number)[0] == quiet.curve(number)[0]


@pytest.mark.parametrize("name", MODELS)
def test_no_step_waits_for_the_device(name: str) -> None:
    pack = engine(dtype=torch.float32).pack(trial(model=MODELS[name], batch_size=10), 4)
    pack.try_out(4, 40)  # 20 steps an epoch: twice every kind, so all are recorded
    lanes = pack.lanes[:4]
    epoch = pack.begin(lanes)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        epoch.take(range(pack.n_steps))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert bool(epoch.step.sums.isfinite().all())


def test_running_out_of_memory_halves_the_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    warm, is_first = CudaRecorder.warm, [True]

    def greedy(self: CudaRecorder, work: Callable[[], None]) -> None:
        if is_first.pop() if is_first else False:
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
        warm(self, work)

    configs = trials(MODELS["relu"], RULES)
    usual = play(engine(), configs)
    monkeypatch.setattr(CudaRecorder, "warm", greedy)
    assert_close(usual, play(engine(), configs), 1e-9)


def test_fast_rounds_products_and_exact_does_not() -> None:
    a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
    right = (a.double() @ b.double()).float()
    errors = {}
    for precision in ("fast", "exact"):
        with matmul_precision(precision, a.device):
            errors[precision] = float((a @ b - right).abs().max())
    assert errors["exact"] < 1e-3
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_planner_measures_here() -> None:
    planner = Planner()
    config = trial(model=Mlp(hidden_units=(64,)), epochs=400, batch_size=10)
    caller = play(engine(lanes="auto", planner=planner, dtype=torch.float32), [config] * 8)
    assert len(caller.ends) == 8
    (found,) = [one for one in planner._capacities.values() if one is not None]
    assert found.lanes in found.rates
    assert len(found.rates) > 1
