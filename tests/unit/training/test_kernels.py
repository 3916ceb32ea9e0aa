"""The rules as Triton kernels are the rules in plain torch; Triton's interpreter runs on a CPU."""

import itertools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.layers import compiler
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.sgd import Sgd
from hpsearch.training import losses, program, table_update
from hpsearch.training import pack as pack_module
from hpsearch.training import update as update_module
from hpsearch.training.engine import Engine
from hpsearch.training.graphs import Recorder
from hpsearch.training.kernels.launch import L2
from tests.interpreted import Counted, interpreted
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

pytest.importorskip("triton", reason="no Triton for this platform")

pytestmark = pytest.mark.usefixtures("plain_torch")  # what a GPU does, done on a CPU

CLASSES = class_splits()
SHAPES = ((3, 7, 5), (3, 1100, 1), (3, 1, 1))  # one block of numbers, two, one number
N_STEPS = 4


@pytest.fixture(scope="module")
def kernels() -> Iterator[ModuleType]:
    with interpreted("hpsearch.training.kernels.update") as (module,):
        yield module


@pytest.fixture(scope="module")
def loss_kernels() -> Iterator[ModuleType]:
    with interpreted("hpsearch.training.kernels.loss") as (module,):
        yield module


@pytest.fixture(scope="module")
def batch_kernels() -> Iterator[ModuleType]:
    with interpreted("hpsearch.training.kernels.batch") as (module,):
        yield module


def settings(name: str) -> list[list[Optimizer]]:
    """Return packs of three lanes each, which between them have every kind of coefficient."""
    rule = REGISTRY[name]
    rates = ({"learning_rate": 0.1}, {"learning_rate": 1e-3}, {"learning_rate": 0.02})
    choices: dict[str, tuple[object, ...]] = {
        "momentum": (0.0, 0.9),
        "nesterov": (False, True),
        "beta1": (0.0, 0.9),
        "beta2": (0.0, 0.999),
        "alpha": (0.0, 0.99),
        "eps": (1e-8, 1e-2),
        "weight_decay": (0.0, 0.3),
    }
    own = {key: values for key, values in choices.items() if key in rule.model_fields}
    every = [dict(zip(own, one, strict=True)) for one in itertools.product(*own.values())]
    lanes = [rule.model_validate({**rates[i % 3], **one}) for i, one in enumerate(every)]
    lanes += lanes[: -len(lanes) % 3]
    mixed = lanes[::2] + lanes[1::2]
    packs = [lanes[i : i + 3] for i in range(0, len(lanes), 3)]
    return packs + [mixed[i : i + 3] for i in range(0, len(mixed), 3)]


def table_of(lanes: list[Optimizer]) -> dict[str, np.ndarray]:
    steps = np.arange(1, N_STEPS + 1, dtype=np.int64)
    per_lane = [one.coefficients(one.rates(steps, n_steps=2, n_epochs=9), steps) for one in lanes]
    table = {name: np.stack([one[name] for one in per_lane], 1) for name in per_lane[0]}
    return {k: v for k, v in table.items() if k not in lanes[0].optional or v.any()}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_kernel_is_the_rule(name: str, kernels: ModuleType) -> None:
    rule = REGISTRY[name]
    generator = torch.Generator().manual_seed(1)
    for number, (shape, lanes) in enumerate(zip(itertools.cycle(SHAPES), settings(name))):
        table = table_of(lanes)
        if number % 2:
            table[L2] = np.tile([0.1, 0.0, 1e-3], (N_STEPS, 1))
        launch = kernels.launch_of(rule, tuple(table))
        assert launch is not None
        values = torch.from_numpy(np.stack(list(table.values()), 1))
        row = torch.zeros(1, dtype=torch.int64)
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        ours = [weight, *(torch.zeros_like(weight) for _ in rule.buffers)]
        theirs = [one.clone() for one in ours]
        for step in range(N_STEPS):
            gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
            adds_l2 = bool(number % 2) and step != 2  # some steps have added it before
            launch(ours[0], gradient, ours[1:], values, row, adds_l2=adds_l2)
            c = {n: values[step, i][:, None, None] for i, n in enumerate(table)}
            if adds_l2:
                gradient = gradient + theirs[0] * c[L2]
            rule.update(theirs[0], gradient.clone(), theirs[1:], c)
            row += 1
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_lane_that_is_no_number_leaves_the_others_alone(kernels: ModuleType) -> None:
    lanes: list[Optimizer] = [Adam(learning_rate=0.1) for _ in range(3)]
    table = table_of(lanes)
    values = torch.from_numpy(np.stack(list(table.values()), 1))
    results = []
    for bad in (0.5, float("nan")):
        weight = torch.ones(3, 4, 2, dtype=torch.float64)
        gradient = torch.full_like(weight, 0.5)
        gradient[1] = bad
        buffers = [torch.zeros_like(weight), torch.zeros_like(weight)]
        launch = kernels.launch_of(Adam, tuple(table))
        row = torch.zeros(1, dtype=torch.int64)
        launch(weight, gradient, buffers, values, row, adds_l2=False)
        results.append(weight)
    assert results[1][1].isnan().all()
    assert torch.equal(results[0][[0, 2]], results[1][[0, 2]])


def test_a_rule_of_somebody_elses_has_no_kernel(kernels: ModuleType) -> None:
    class Mine(Adam):
        pass

    names = tuple(table_of([Adam()]))
    assert kernels.launch_of(Mine, names) is None
    assert kernels.launch_of(Adam, names[:-1]) is None


def without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton.runtime", None)  # an import of it fails


def without_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.runtime import driver

    def active(_: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(type(driver), "active", property(active))


@pytest.mark.parametrize("lack", [without_triton, without_c_compiler])
def test_without_triton_or_its_compiler_the_rule_works_in_plain_torch(
    lack: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(table_of([Adam()]))
    said: list[str] = []
    monkeypatch.setattr(compiler.log, "warning", lambda event, **_: said.append(event), False)
    lack(monkeypatch)
    compiler.has_triton.cache_clear()
    try:
        assert table_update.launch_of(Adam, names, "cuda") is None
        assert table_update.launch_of(Adam, names, "cuda") is None
    finally:
        compiler.has_triton.cache_clear()
    assert said == ["no_triton"]


def test_kernels_make_the_steps_of_a_pack(
    kernels: ModuleType,
    loss_kernels: ModuleType,
    batch_kernels: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(update_module, "has_kernel", lambda _: False)
    configs = [
        trial(optimizer=rule, epochs=2, batch_size=50, label_smoothing=smoothing)
        for rule, smoothing in (
            (Sgd(learning_rate=0.01, momentum=0.9, l2=0.1), 0.1),
            (Sgd(learning_rate=0.05, momentum=0.9, nesterov=True), 0.0),
            (Sgd(learning_rate=0.02, momentum=0.9, l2=0.05, gradient_clip_norm=0.1), 0.0),
        )
    ]
    usual = play(Engine(CLASSES, LOWEST_LOSS, 1, lanes=2, dtype=torch.float64), configs)
    added: list[bool] = []

    def launch_of(rule: type[Optimizer], names: tuple[str, ...]) -> Any:
        launch = launch_of_rule(rule, names)

        def noted(*args: Any, adds_l2: bool) -> None:
            added.append(adds_l2)
            launch(*args, adds_l2=adds_l2)

        return noted

    launch_of_rule = kernels.launch_of
    monkeypatch.setattr(kernels, "launch_of", launch_of)
    used: list[str] = []
    for user, module, name in (
        (table_update, kernels, "launch_of"),
        (losses, loss_kernels, "cross_entropy"),
        (program, batch_kernels, "pick"),
    ):
        monkeypatch.setattr(user, "has_kernels", lambda _: True)
        monkeypatch.setattr(module, name, _noting(used, getattr(module, name)))
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: StepByStep())
    ours = play(Engine(CLASSES, LOWEST_LOSS, 1, lanes=2, dtype=torch.float64), configs)
    assert set(used) == {"launch_of", "cross_entropy", "pick"}
    assert set(added) == {False, True}  # not of biases, and not where the norm was looked at
    for number in range(3):
        mine, theirs = ours.ends[number].weights, usual.ends[number].weights
        assert mine is not None
        assert theirs is not None
        for name, array in theirs.items():
            np.testing.assert_allclose(mine[name], array, rtol=1e-10, atol=1e-12)
        for (epoch, mine_at), (_, theirs_at) in zip(
            ours.curve(number), usual.curve(number), strict=True
        ):
            assert mine_at == pytest.approx(theirs_at, rel=1e-9, abs=1e-12), epoch


def test_a_step_is_a_product_each_and_little_more(
    kernels: ModuleType,
    loss_kernels: ModuleType,
    batch_kernels: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launches: list[str] = []

    def launched(*_: Any, **__: Any) -> None:
        launches.append("one")

    def loss(z: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        launches.append("loss")
        return z, z[:, :2, 0].double()

    monkeypatch.setattr(kernels, "launch_of", lambda *_: launched)
    monkeypatch.setattr(batch_kernels, "pick", launched)
    monkeypatch.setattr(loss_kernels, "cross_entropy", loss)
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: StepByStep())
    config = trial(optimizer=Sgd(learning_rate=0.1, momentum=0.9, l2=1e-3), epochs=2)

    def count(*, has_kernels: bool) -> int:
        for user in (table_update, losses, program):
            monkeypatch.setattr(user, "has_kernels", lambda _: has_kernels)
        # rounded as on a GPU: products of all lanes at once, whatever that does to the last bit
        engine = Engine(CLASSES, LOWEST_LOSS, 1, precision="fast", dtype=torch.float64)
        pack = engine.pack(config, 3)
        pack.try_out(3, 2)
        epoch = pack.begin(pack.lanes)
        epoch.take(range(1))  # the first one looks at norms, too
        launches.clear()
        counter = Counted()
        with counter:
            epoch.take(range(1, 2))
        return counter.n + len(launches)

    # 5 products, 2 biases, relu and back, 2 gradients of biases; batch, loss, 4 updates;
    # keys, sums, clock
    assert count(has_kernels=True) == 20
    assert count(has_kernels=False) > 35


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of a lane that is no number
@pytest.mark.parametrize("shape", [(3, 10, 100), (2, 2, 7), (1, 1000, 9), (4, 3, 1)])
@pytest.mark.parametrize("targets", ["shared", "shared, one row", "of each lane"])
@pytest.mark.parametrize("smooths", [True, False])
def test_the_kernel_of_the_loss_is_the_loss(
    shape: tuple[int, int, int], targets: str, smooths: bool, loss_kernels: ModuleType
) -> None:
    n_lanes, n_classes, batch = shape
    generator = torch.Generator().manual_seed(2)
    z = 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    z[-1] = torch.nan if n_lanes > 1 else z[-1]
    z[0, :, 0] = 1.0  # all classes equal: the first one counts
    rows = {"shared": (), "shared, one row": (1,), "of each lane": (n_lanes,)}[targets]
    y = torch.randint(0, n_classes, (*rows, batch))
    smoothing = torch.rand((n_lanes, 1, 1), generator=generator, dtype=torch.float64)
    settings = (y, smoothing if smooths else None)
    d, sums = loss_kernels.cross_entropy(z.clone(), *settings)
    right_d, right_sums = losses.CrossEntropy().gradient(z.clone(), *settings)
    right_sums[:, 1] = torch.where(right_sums[:, 0].isnan(), sums[:, 1], right_sums[:, 1])
    torch.testing.assert_close(d, right_d, rtol=1e-10, atol=1e-14, equal_nan=True)
    torch.testing.assert_close(sums, right_sums, rtol=1e-10, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
@pytest.mark.parametrize("n_outputs", [0, 1, 3])
@pytest.mark.parametrize("which", [None, [1, 0, 1]])
def test_the_kernel_of_the_batch_picks_and_scales(
    dtype: torch.dtype, n_outputs: int, which: list[int] | None, batch_kernels: ModuleType
) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (50, 1500), generator=generator).to(dtype)
    y = torch.arange(50) if not n_outputs else torch.randn(50, n_outputs, dtype=torch.float64)
    orders = torch.stack([torch.randperm(50, generator=generator) for _ in range(2)])
    lanes = None if which is None else torch.tensor(which)
    picked = torch.cat([orders[row, 7:16] for row in which or [0]])
    x_out = torch.full((len(picked), 1500), torch.nan, dtype=torch.float64)
    y_out = y.new_zeros((len(picked), *y.shape[1:]))
    batch_kernels.pick(
        x,
        y,
        orders,
        lanes,
        torch.tensor([3, 7]),
        x_out=x_out,
        y_out=y_out,
        shift=0.1307,
        factor=3.25,
    )
    scaled = (x[picked].double() - 0.1307) * 3.25 if dtype == torch.uint8 else x[picked]
    torch.testing.assert_close(x_out, scaled, rtol=1e-14, atol=0)
    assert torch.equal(y_out, y[picked])


def _noting(used: list[str], function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        used.append(name)
        return function(*args, **kwargs)

    name = function.__name__
    return noted


class StepByStep(Recorder):
    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return work
