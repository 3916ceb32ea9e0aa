"""Recorded steps are the steps: the same operations, on memory that stays where it is."""

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hpsearch.layers import recurrent as recurrent_layers
from hpsearch.models import recurrent as recurrent_module
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.base import REGISTRY
from hpsearch.optimizers.rmsprop import RmsProp
from hpsearch.optimizers.schedules import Cosine
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.training import pack as pack_module
from hpsearch.training import planner as planner_module
from hpsearch.training import program as program_module
from hpsearch.training import update as update_module
from hpsearch.training.engine import Engine, Precision, matmul_precision
from hpsearch.training.graphs import Recorder
from hpsearch.training.lanes import Boundary, LaneOutcome, Reply
from hpsearch.training.pack import Pack
from hpsearch.training.planner import Planner
from hpsearch.training.program import Program, Programs
from hpsearch.training.warm import Warm
from tests.interpreted import CELLS, as_operation, interpreted
from tests.lanes import LOWEST_LOSS, Caller, class_splits, line_splits, play, trial

pytestmark = pytest.mark.usefixtures("plain_torch")  # what is recorded on a GPU is torch's

CLASSES = class_splits()
LINE = line_splits()


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Writes down every operation with the very tensors it was given, as a graph does."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in HOST_ASKS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        self.calls.append((func, args, kwargs or {}, out))
        return out


HOST_ASKS = {  # what makes a host wait for a device, or copy to it
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.lift_fresh.default,
}


class Recording(Recorder):
    """A graph on the CPU: plays the tape, into the same memory, with nothing else at hand."""

    def __init__(self) -> None:
        self.n_warmed = self.n_recorded = self.n_replayed = 0

    def warm(self, work: Callable[[], None]) -> None:
        self.n_warmed += 1
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.n_recorded += 1
        tape = Tape()
        kept = Kept()
        with kept, tape:
            work()
        kept.put_back()
        calls, inner = tape.calls, kept.born

        def replay() -> None:
            self.n_replayed += 1
            for tensor in inner:  # a graph's own memory holds anything between two replays
                _spoil(tensor)
            for func, args, kwargs, out in calls:
                _write(out, func(*args, **kwargs))

        return replay


class Kept(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Notes what an operation is about to change, to put it back: recording does nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._own: set[int] = set()
        self.born: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for given in _tensors((args, kwargs)):
            start = given.untyped_storage().data_ptr()
            if start and start not in self._own and start not in self._before:
                whole = torch.empty(0, dtype=given.dtype).set_(given.untyped_storage())
                self._before[start] = whole, whole.clone()
        out = func(*args, **kwargs)
        for made in _tensors(out):
            start = made.untyped_storage().data_ptr()
            if start not in self._before and start not in self._own:
                self._own.add(start)
                self.born.append(made)
        return out

    def put_back(self) -> None:
        for whole, before in self._before.values():
            whole.copy_(before)


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))
    elif isinstance(tree, list | tuple):
        for one in tree:
            yield from _tensors(one)


def _spoil(tensor: Tensor) -> None:
    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    whole.fill_(float("nan") if tensor.is_floating_point() else 1)


def _write(recorded: Any, now: Any) -> None:
    """Let an operation's result stand where it stood when it was recorded."""
    for target, source in zip(_tensors(recorded), _tensors(now), strict=True):
        if target.data_ptr() != source.data_ptr():
            target.copy_(source)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Let packs record their steps, and train without torch's private kernels."""
    monkeypatch.setattr(update_module, "has_kernel", lambda _: False)
    return Recording()


def both(
    configs: list[TrialConfig],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    **engine: Any,
) -> tuple[Caller, Caller]:
    """Play trials as usual, and with recorded steps."""
    settings = {"splits": CLASSES, "lanes": 3, **engine}
    splits = settings.pop("splits")
    usual = play(Engine(splits, LOWEST_LOSS, 3, **settings), configs)
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recorder)
    recorded = play(Engine(splits, LOWEST_LOSS, 3, **settings), configs)
    return usual, recorded


def assert_same(one: Caller, other: Caller) -> None:
    """Compare everything that was heard of all trials, to the last bit, but for one sum.

    Losses in double precision are added up step by step by a recording, several steps at once
    otherwise.
    """
    assert one.ends.keys() == other.ends.keys()
    for number, end in one.ends.items():
        ours, theirs = one.curve(number), other.curve(number)
        for (_, mine), (_, its) in zip(ours, theirs, strict=True):
            assert mine.pop("train_loss") == pytest.approx(its.pop("train_loss"), rel=1e-13)
        assert ours == theirs
        assert end.test == other.ends[number].test
        weights, others = end.weights, other.ends[number].weights
        assert (weights is None) == (others is None)
        for name, array in (weights or {}).items():
            np.testing.assert_array_equal(array, (others or {})[name], err_msg=name)


def various(data_order: str = "shared", *, batch_norm: bool = True) -> list[TrialConfig]:
    """Return trials that differ in all that may differ within a pack; three at a time."""
    optimizers = [
        Sgd(learning_rate=0.05, momentum=0.9, schedule=Cosine()),
        Sgd(learning_rate=0.02, nesterov=True, momentum=0.5, l2=1e-2),
        Sgd(learning_rate=0.02, l1=1e-3, gradient_clip_norm=0.3),
    ]
    return [
        trial(
            model=Mlp.model_validate(
                {
                    "hidden_units": (16, 9),
                    "dropout": (0.1 * (number % 4), 0.2),
                    "activation": "sigmoid",
                }
                | {"batch_norm": batch_norm}
            ),
            optimizer=optimizers[number % 3],
            epochs=2 + number % 3,
            batch_size=11,  # 200 examples: 19 steps, the last of two examples
            data_order=data_order,
            label_smoothing=0.1 * (number % 2),
        )
        for number in range(5)
    ]


@pytest.mark.parametrize("data_order", ["shared", "per_trial"])
def test_recorded_steps_are_the_usual_ones_to_the_last_bit(
    data_order: str, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, recorded = both(various(data_order), recording, monkeypatch)
    assert len(usual.ends) == 5
    assert_same(usual, recorded)
    assert recording.n_replayed > 4 * recording.n_warmed > 0


@pytest.mark.parametrize("rule", sorted(REGISTRY))
def test_every_rule_is_recorded(
    rule: str, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [
        trial(optimizer=REGISTRY[rule](learning_rate=rate, l2=1e-3), epochs=3)
        for rate in (1e-3, 1e-2)
    ]
    usual, recorded = both(configs, recording, monkeypatch)
    assert_same(usual, recorded)
    assert recording.n_replayed


@pytest.mark.parametrize("cell", ["vanilla", "gru", "lstm"])
def test_sequences_are_recorded(
    cell: str, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent_module, "runs_lane_by_lane", lambda *_: False)
    configs = [
        trial(
            model=Recurrent.model_validate(
                {"cell": cell, "hidden_units": 7, "hidden_layers": 2, "steps": 4, "dropout": rate}
            ),
            optimizer=Adam(learning_rate=rate_of),
            epochs=2,
            batch_size=27,
        )
        for rate, rate_of in ((0.0, 1e-2), (0.3, 1e-3), (0.1, 1e-3))
    ]
    usual, recorded = both(configs, recording, monkeypatch, lanes=2)
    assert_same(usual, recorded)
    assert recording.n_replayed


@pytest.fixture(scope="module")
def cell_kernels() -> Iterator[ModuleType]:
    pytest.importorskip("triton", reason="no Triton for this platform")
    with interpreted(*CELLS) as (*_, module):
        yield module


@pytest.mark.parametrize(("cell", "depth"), [("vanilla", 1), ("gru", 2), ("lstm", 1)])
def test_cells_as_kernels_are_recorded(
    cell: str,
    depth: int,
    cell_kernels: ModuleType,
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recurrent_module, "runs_lane_by_lane", lambda *_: False)
    configs = [
        trial(
            model=Recurrent.model_validate(
                {"cell": cell, "hidden_units": n, "steps": 2, "dropout": rate}
                | {"hidden_layers": depth}
            ),
            optimizer=Adam(learning_rate=rate_of),
            epochs=epochs,
            batch_size=64,  # 200 examples: four steps, the last of eight examples
        )
        for n, rate, rate_of, epochs in ((8, 0.0, 1e-2, 2), (7, 0.3, 1e-3, 1), (8, 0.1, 1e-3, 1))
    ]
    engine = partial(
        Engine, CLASSES, LOWEST_LOSS, 3, lanes=2, precision="fast", dtype=torch.float64
    )
    usual = play(engine(), configs)
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    monkeypatch.setattr(
        recurrent_layers, "kernels_of", lambda cell, _: cell_kernels.kernels_of(cell)
    )
    monkeypatch.setattr(cell_kernels, "_launch", as_operation(cell_kernels._launch))
    recorded = play(engine(), configs)
    assert recording.n_replayed
    assert len(recorded.ends) == len(configs)
    for number, end in recorded.ends.items():
        for name, array in (usual.ends[number].weights or {}).items():
            np.testing.assert_allclose(
                (end.weights or {})[name], array, rtol=1e-10, atol=1e-10, err_msg=name
            )


def test_a_regression_is_recorded(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [trial(optimizer=RmsProp(learning_rate=1e-3), epochs=3) for _ in range(2)]
    usual, recorded = both(configs, recording, monkeypatch, splits=LINE)
    assert_same(usual, recorded)


def test_lanes_of_other_widths_are_recorded(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [
        trial(model=Mlp.model_validate({"hidden_units": (n,), "activation": "sigmoid"}), epochs=e)
        for n, e in ((16, 3), (16, 1), (14, 3), (13, 2))
    ]
    usual, recorded = both(
        configs, recording, monkeypatch, lanes=2, precision="fast", dtype=torch.float64
    )
    assert_same(usual, recorded)
    assert recording.n_replayed


def test_an_epoch_may_be_longer_than_the_tables(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "WINDOW", 7)
    usual, recorded = both(various(), recording, monkeypatch)
    assert_same(usual, recorded)


def test_a_refill_and_another_epoch_record_nothing_anew(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [trial(epochs=6) for _ in range(9)]  # three lanes, refilled twice
    both(configs, recording, monkeypatch)
    # 10 steps of one size: sampled, compared and neither, the second time each comes up
    assert recording.n_recorded == 3
    assert recording.n_warmed == 3


def test_the_next_run_of_a_trainer_records_nothing_anew(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [trial(epochs=3) for _ in range(3)]
    usual = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3), configs)
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    warm = Warm()
    for _ in range(2):
        recorded = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3, warm=warm), configs)
        assert_same(usual, recorded)
    assert recording.n_recorded == recording.n_warmed == 3
    play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3, precision="fast", warm=warm), configs)
    assert recording.n_recorded == 6  # other products


def test_empty_packs_are_kept_within_bounds_and_only_where_they_are_worth_it(
    monkeypatch: pytest.MonkeyPatch, recording: Recording
) -> None:
    engine, warm = Engine(CLASSES, LOWEST_LOSS, 3), Warm()
    plain = engine.pack(trial(), 1)
    warm.keep("plain", plain)
    assert warm.take("plain") is None
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    for number in range(6):
        warm.keep(number, engine.pack(trial(), 1))
    assert [warm.take(number) is not None for number in range(6)] == [False] * 2 + [True] * 4
    assert not warm.clear()
    first = warm.resident(CLASSES, device=torch.device("cpu"), dtype=torch.float32)
    assert warm.resident(CLASSES, device=torch.device("cpu"), dtype=torch.float32) is first
    assert warm.resident(LINE, device=torch.device("cpu"), dtype=torch.float32) is not first


def test_programs_that_are_not_used_are_let_go(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    pack = Engine(CLASSES, LOWEST_LOSS, 3).pack(trial(), 12)
    for n_lanes in range(1, 13):
        pack.try_out(n_lanes, 10)
    warmed = recording.n_warmed
    pack.try_out(12, 10)  # the last one is kept
    assert recording.n_warmed == warmed
    pack.try_out(1, 10)  # the first one is not
    assert recording.n_warmed > warmed


def test_a_lane_that_diverges_changes_no_bit_of_its_neighbours(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Mlp(hidden_units=(16,)).model_copy(update={"init": "normal", "init_scale": 1e38})
    wild = trial(model=model, epochs=3)
    tame = [trial(optimizer=Sgd(learning_rate=r, momentum=0.9), epochs=3) for r in (0.1, 0.01)]
    _, recorded = both([*tame, wild], recording, monkeypatch)
    assert recorded.ends[2].outcome is LaneOutcome.FAILED
    alone = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3), tame)
    for number in (0, 1):
        assert alone.curve(number) == recorded.curve(number)


class Failing(Recording):
    """Records nothing: raises what it is told to, as the end of a failed capture does."""

    def __init__(self, first: Exception) -> None:
        super().__init__()
        self.first = first

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.n_recorded += 1
        try:
            raise self.first
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error")


def test_what_cannot_be_recorded_is_done_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_module, "has_kernel", lambda _: False)
    failing = Failing(RuntimeError("operation not permitted when stream is capturing"))
    warnings: list[str] = []
    monkeypatch.setattr(
        program_module.log, "warning", lambda event, **_: warnings.append(event), raising=False
    )
    usual, recorded = both(various(), failing, monkeypatch)
    assert_same(usual, recorded)
    assert failing.n_recorded == len(warnings) >= 1
    assert set(warnings) == {"graph_not_recorded"}


def test_out_of_memory_while_recording_halves_the_pack_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(update_module, "has_kernel", lambda _: False)
    failing = Failing(torch.OutOfMemoryError("CUDA out of memory"))
    configs = various()
    usual = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3), configs)
    made: list[Recorder] = []

    def recorder(_: torch.device) -> Recorder:
        made.append(failing if not made else Recording())
        return made[-1]

    monkeypatch.setattr(pack_module, "recorder_of", recorder)
    recorded = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=3), configs)
    assert failing.n_recorded == 1
    assert_same(usual, recorded)


def test_recorded_packs_are_measured_as_long_as_more_lanes_pay(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    monkeypatch.setattr(planner_module, "_LEAST_STEPS", 0)
    monkeypatch.setattr(planner_module, "MOST_SHARE", 1e6)
    monkeypatch.setattr(planner_module, "MOST_S", 60.0)
    seconds = {1: 1.0, 2: 1.1, 4: 1.2, 8: 2.5, 16: 1.0}  # eight lanes are a busy device
    asked: list[tuple[int, int]] = []
    whole = Pack.try_out

    def try_out(pack: Pack, n_lanes: int, n_steps: int) -> float:
        asked.append((n_lanes, len(pack.lanes)))
        whole(pack, n_lanes, n_steps)
        return seconds[n_lanes] * n_steps

    monkeypatch.setattr(Pack, "try_out", try_out)
    planner = Planner()
    engine = Engine(CLASSES, LOWEST_LOSS, 3, planner=planner)
    caller = play(engine, [trial(epochs=3) for _ in range(12)])
    assert len(caller.ends) == 12
    (found,) = [one for one in planner._capacities.values() if one is not None]
    assert found.lanes == 4
    assert set(found.rates) == {1, 2, 4, 8}
    assert all(n_lanes == n_rows for n_lanes, n_rows in asked)
    assert max(one.n_live + one.n_free for one in caller.boundaries) == 4


@pytest.mark.parametrize(("precision", "inside"), [("exact", "highest"), ("fast", "high")])
def test_on_a_gpu_the_precision_is_a_runs_own(precision: Precision, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # somebody else's
    try:
        with matmul_precision(precision, torch.device("cuda")):
            assert torch.get_float32_matmul_precision() == inside
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


class Deaf(Recorder):
    """Its recordings hold nothing, and do nothing."""

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def test_a_run_that_breaks_leaves_no_program_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: Deaf())
    programs: list[weakref.ref[Program]] = []
    begin = Programs.begin

    def seen(owner: Programs, lanes: Any) -> Program:
        program = begin(owner, lanes)
        programs.append(weakref.ref(program))
        return program

    monkeypatch.setattr(Programs, "begin", seen)

    def decide(boundary: Boundary) -> Reply:
        if boundary.reports:
            raise ConnectionError("the database is away")
        return Reply()

    gc.disable()
    try:
        with pytest.raises(ConnectionError):
            play(
                Engine(CLASSES, LOWEST_LOSS, 3, lanes=2), [trial(epochs=10_000)] * 2, decide=decide
            )
        assert programs
        assert all(program() is None for program in programs)
    finally:
        gc.enable()


def test_a_lane_alone_gets_the_memory_of_packs_that_wait(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "recorder_of", lambda _: recording)
    engine, warm = Engine(CLASSES, LOWEST_LOSS, 3), Warm()
    warm.keep("a large one", engine.pack(trial(), 4))
    whole = Pack.train_epoch

    def train_epoch(pack: Pack, poll: Callable[[], None]) -> Any:
        if warm._packs:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pack, poll)

    monkeypatch.setattr(Pack, "train_epoch", train_epoch)
    caller = play(Engine(CLASSES, LOWEST_LOSS, 3, lanes=1, warm=warm), [trial()])
    assert caller.ends[0].outcome is LaneOutcome.COMPLETED, caller.ends[0].failure
