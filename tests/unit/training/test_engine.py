"""The engine's promises to its caller: boundaries, ends, hand-backs, refills."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.errors import BrokenInvariant
from hpsearch.layers.stack import Shapes, Stack
from hpsearch.models.mlp import Mlp
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.sections import EarlyStopping
from hpsearch.spec.states import FailureKind
from hpsearch.training import placement as placement_module
from hpsearch.training.capacity import Lanes, is_out_of_memory
from hpsearch.training.engine import Engine
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import Boundary, LaneOutcome, LaneSpec, Reply
from hpsearch.training.pack import Pack
from tests.lanes import HIGHEST_ACCURACY, LOWEST_LOSS, class_splits, line_splits, play, trial

CLASSES = class_splits()


def make(lanes: Lanes = 4, seed: int = 1, **settings: Any) -> Engine:
    return Engine(CLASSES, LOWEST_LOSS, seed, lanes=lanes, **settings)


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
    """Every pack the engine makes, in order."""
    made: list[Pack] = []

    class Noted(Pack):
        def __init__(self, first: Lane, *args: Any, **settings: Any) -> None:
            super().__init__(first, *args, **settings)
            made.append(self)

    monkeypatch.setattr(placement_module, "Pack", Noted)
    return made


def test_the_first_question_has_no_reports_and_all_the_room() -> None:
    caller = play(make(lanes=5), [])
    assert caller.boundaries == [Boundary((), 0, 5)]


def test_every_trial_comes_back_once_with_all_its_epochs_in_order() -> None:
    caller = play(make(lanes=3), [trial(epochs=1 + number % 4) for number in range(8)])
    assert sorted(caller.ends) == list(range(8))
    for number, end in caller.ends.items():
        assert end.outcome is LaneOutcome.COMPLETED
        assert [one.epoch for one in caller.epochs[number]] == list(range(1, 2 + number % 4))


def test_no_more_lanes_are_live_than_were_asked_for() -> None:
    caller = play(make(lanes=3), [trial(epochs=1 + number % 4) for number in range(8)])
    assert max(boundary.n_live + boundary.n_free for boundary in caller.boundaries) == 3


def test_lanes_of_several_kinds_are_more_so_that_packs_fill() -> None:
    kinds = [Mlp(hidden_units=(width,)) for width in (8, 12, 16)]
    caller = play(make(lanes="auto"), [trial(model=kinds[n % 3], epochs=3) for n in range(24)])
    assert max(boundary.n_live for boundary in caller.boundaries) > 8
    first, second = caller.boundaries[:2]  # both before anything is trained
    assert (first.reports, second.reports) == ((), ())
    assert second.n_live + second.n_free > first.n_free
    assert len(caller.ends) == 24


def test_lanes_without_their_like_are_a_handful() -> None:
    trials = [trial(model=Mlp(hidden_units=(8 + n,)), epochs=3) for n in range(12)]
    caller = play(make(lanes="auto"), trials)
    assert max(boundary.n_live + boundary.n_free for boundary in caller.boundaries) <= 8


def test_an_epoch_has_the_metrics_of_the_contract() -> None:
    caller = play(make(), [trial(epochs=1)])
    assert caller.epochs[0][0].metrics.keys() == {
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "grad_norm",
        "learning_rate",
        "seconds",
        "weight_norm",
        "update_ratio",
        "dead_units",
    }


def test_a_regression_has_errors_in_the_targets_own_unit() -> None:
    engine = Engine(line_splits(), LOWEST_LOSS, 1)
    caller = play(engine, [trial(optimizer=Sgd(learning_rate=0.02), epochs=20)])
    metrics = caller.epochs[0][-1].metrics
    assert 0.5 < metrics["val_rmse"] < 6  # the noise has a deviation of 1, the target of 20
    assert metrics["val_r2"] > 0.9
    test = caller.ends[0].test
    assert test is not None
    assert test.keys() == {"loss", "rmse", "r2"}


def test_the_best_epoch_is_the_earliest_with_the_best_value() -> None:
    engine = Engine(CLASSES, HIGHEST_ACCURACY, 1)
    caller = play(engine, [trial(epochs=12)])
    accuracies = [one.metrics["val_accuracy"] for one in caller.epochs[0]]
    end = caller.ends[0]
    assert end.best_epoch == accuracies.index(max(accuracies)) + 1
    assert end.best_metrics["val_accuracy"] == max(accuracies)
    assert end.best_metrics["n_parameters"] == 12 * 16 + 16 + 16 * 4 + 4


def test_weights_and_test_metrics_are_those_of_the_best_epoch() -> None:
    engine = Engine(CLASSES, LOWEST_LOSS, 1)
    # so large a step that the loss soon rises again
    caller = play(engine, [trial(optimizer=Sgd(learning_rate=0.5, momentum=0.9), epochs=8)])
    end = caller.ends[0]
    assert end.best_epoch is not None
    assert end.best_epoch < 8
    assert end.weights is not None
    assert end.test is not None
    network = Mlp(hidden_units=(16,)).plain(CLASSES.n_inputs, CLASSES.n_outputs)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in end.weights.items()})
    with torch.no_grad():
        for part, loss in (
            (CLASSES.validation, end.best_metrics["val_loss"]),
            (CLASSES.test, end.test["loss"]),
        ):
            z = network(torch.from_numpy(part.x))
            plain = torch.nn.functional.cross_entropy(z, torch.from_numpy(part.y)).item()
            assert plain == pytest.approx(loss, rel=1e-5)


def test_patience_ends_a_trial_as_complete_and_stopped_early() -> None:
    rule = EarlyStopping(patience=2)
    caller = play(
        make(),
        [trial(optimizer=Sgd(learning_rate=0.5, momentum=0.9), epochs=60, early_stopping=rule)],
    )
    end, n_epochs = caller.ends[0], len(caller.epochs[0])
    assert end.outcome is LaneOutcome.COMPLETED
    assert end.stopped_early
    assert end.best_epoch is not None
    assert n_epochs == end.best_epoch + 2
    assert n_epochs < 60


def test_the_engines_own_rule_holds_where_a_trial_has_none() -> None:
    engine = make(early_stopping=EarlyStopping(patience=1))
    caller = play(engine, [trial(optimizer=Sgd(learning_rate=0.5, momentum=0.9), epochs=60)])
    assert caller.ends[0].stopped_early


def test_a_trial_that_diverges_fails_at_once_and_keeps_its_finite_epochs() -> None:
    caller = play(make(), [trial(optimizer=Sgd(learning_rate=1000, l2=10), epochs=50), trial()])
    end = caller.ends[0]
    assert end.outcome is LaneOutcome.FAILED
    assert end.failure is not None
    kind, message = end.failure
    assert kind is FailureKind.DIVERGED
    n_finite = len(caller.epochs[0])
    assert f"in epoch {n_finite + 1}" in message
    assert n_finite < 49
    assert all(np.isfinite(list(one.metrics.values())).all() for one in caller.epochs[0])
    assert caller.ends[1].outcome is LaneOutcome.COMPLETED


def test_dropped_trials_are_not_heard_of_again() -> None:
    def drop_the_first(boundary: Boundary) -> Reply:
        return Reply(drop=frozenset({0}) if boundary.reports else frozenset())

    caller = play(make(), [trial(epochs=10_000), trial(epochs=3)], decide=drop_the_first)
    assert sorted(caller.ends) == [1]
    assert caller.handed_back == {}


def test_a_trial_told_to_finish_ends_complete_with_its_best_epoch() -> None:
    def finish(boundary: Boundary) -> Reply:
        return Reply(finish=frozenset(r.number for r in boundary.reports if r.epochs))

    caller = play(make(), [trial(epochs=100_000)], decide=finish)
    end = caller.ends[0]
    assert end.outcome is LaneOutcome.COMPLETED
    assert not end.stopped_early
    assert end.best_epoch is not None
    assert caller.last[0].epochs == (), "the end comes in a boundary of its own"


def test_a_trial_told_to_finish_before_its_first_epoch_shows_one() -> None:
    def finish_unseen(boundary: Boundary) -> Reply:
        return Reply(finish=frozenset({0, 1}) if boundary.n_live else frozenset())

    caller = play(make(lanes=2), [trial(epochs=2), trial(epochs=100_000)], decide=finish_unseen)
    assert sorted(caller.ends) == [0, 1]


@pytest.mark.parametrize("optimizer", [Sgd(learning_rate=0.05, momentum=0.9), Adam()])
def test_a_handed_back_trial_goes_on_as_if_nothing_had_happened(optimizer: Sgd | Adam) -> None:
    config = trial(optimizer=optimizer, epochs=9, early_stopping=EarlyStopping(patience=7))
    whole = play(make(), [config, trial()])

    def pause_after_three(boundary: Boundary) -> Reply:
        return Reply(hand_back_all=any(r.number == 1 and r.end for r in boundary.reports))

    first = play(make(), [config, trial(epochs=3)], decide=pause_after_three)
    back = first.handed_back[0]
    assert back.state is not None
    assert back.state.epoch == 3
    assert back.device_seconds > 0
    second = play(make(lanes=1), [LaneSpec(0, config, back.state)])
    assert first.curve(0) + second.curve(0) == whole.curve(0)
    assert second.ends[0].test == whole.ends[0].test
    assert second.ends[0].best_epoch == whole.ends[0].best_epoch


def test_only_the_named_trials_are_handed_back() -> None:
    def pause_one(boundary: Boundary) -> Reply:
        return Reply(hand_back=frozenset({0}) if boundary.reports else frozenset())

    caller = play(make(), [trial(epochs=100_000), trial(epochs=2)], decide=pause_one)
    assert sorted(caller.handed_back) == [0]
    assert sorted(caller.ends) == [1]


def after(n_polls: int) -> Callable[[], bool]:
    count = iter(range(10**9))
    return lambda: next(count) >= n_polls


@pytest.mark.parametrize("n_polls", [0, 1, 2, 7, 40])
def test_an_interruption_hands_all_back_as_of_what_was_reported(n_polls: int) -> None:
    configs = [trial(epochs=100_000), trial(epochs=100_000, batch_size=50)]
    caller = play(make(), configs, interrupted=after(n_polls))
    assert sorted(caller.handed_back) == [0, 1]
    for number, back in caller.handed_back.items():
        n_reported = len(caller.epochs.get(number, []))
        assert (back.state.epoch if back.state else 0) == n_reported
    assert caller.boundaries[-1].n_free == 0 or not caller.boundaries[-1].reports


def test_a_trial_admitted_to_a_run_that_stops_is_handed_back_as_it_came() -> None:
    def admit_and_stop(boundary: Boundary) -> Reply:
        if not boundary.reports:
            return Reply()
        return Reply(hand_back_all=True, admit=(LaneSpec(7, trial()),))

    caller = play(make(lanes=1), [trial(epochs=100_000)], decide=admit_and_stop)
    assert sorted(caller.handed_back) == [0, 7]
    assert caller.handed_back[7].state is None


def test_a_trial_resumed_at_its_very_end_only_ends() -> None:
    config = trial(epochs=3)

    def pause(boundary: Boundary) -> Reply:
        return Reply(hand_back_all=any(r.number == 1 and r.end for r in boundary.reports))

    # the state of a longer trial after three epochs is that of this one at its end
    first = play(make(), [trial(epochs=9), trial(epochs=3)], decide=pause)
    caller = play(make(), [LaneSpec(0, config, first.handed_back[0].state)])
    assert caller.last[0].epochs == ()
    assert caller.ends[0].outcome is LaneOutcome.COMPLETED


def test_a_failing_caller_ends_the_run_with_its_own_error() -> None:
    def fail(boundary: Boundary) -> Reply:
        if boundary.reports:
            raise ConnectionError("the database is away")
        return Reply()

    with pytest.raises(ConnectionError, match="away"):
        play(make(), [trial()], decide=fail)


def test_one_trial_cannot_be_in_training_twice() -> None:
    with pytest.raises(BrokenInvariant, match="trial 4"):
        play(make(), [LaneSpec(4, trial()), LaneSpec(4, trial())])


def test_an_engine_may_run_again() -> None:
    engine = make()
    assert play(engine, [trial()]).curve(0) == play(engine, [trial()]).curve(0)


def test_lanes_share_their_packs_device_seconds() -> None:
    caller = play(make(lanes=4), [trial(epochs=3) for _ in range(4)])
    shares = [caller.last[number].device_seconds for number in range(4)]
    assert min(shares) > 0
    assert max(shares) / min(shares) < 3  # each is also tested by itself


def test_equal_widths_share_a_pack_and_others_do_not(packs: list[Pack]) -> None:
    wide, narrow = Mlp(hidden_units=(16,)), Mlp(hidden_units=(15,))
    play(make(), [trial(model=wide), trial(model=narrow), trial(model=wide)])
    assert len(packs) == 2


def test_padding_joins_similar_widths_where_bits_may_differ(packs: list[Pack]) -> None:
    engine = make(precision="fast", dtype=torch.float64)
    models = [Mlp(hidden_units=(width,)) for width in (16, 15, 13, 8)]
    play(engine, [trial(model=model) for model in models])
    assert len(packs) == 2  # 8 would be padded to twice its work


def test_a_freed_lane_is_refilled_in_the_same_pack(packs: list[Pack]) -> None:
    play(make(lanes=2), [trial(epochs=2), trial(epochs=5), trial(epochs=4)])
    assert len(packs) == 1


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("lengths", "is_moved"),
    [
        pytest.param([2, 4, 2], False, id="who comes takes the row of who left"),
        pytest.param([2, 4], True, id="nobody comes any more"),
    ],
)
def test_rows_are_moved_only_where_nobody_takes_a_freed_one(
    lengths: list[int], is_moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [trial(epochs=epochs) for epochs in lengths]
    alone = play(make(lanes=1), trials)
    moved: list[int] = []
    move = Stack.move

    def noted(stack: Stack, source: int, target: int) -> None:
        moved.append(source)
        move(stack, source, target)

    monkeypatch.setattr(Stack, "move", noted)
    beside = play(make(lanes=2), trials)
    assert bool(moved) == is_moved
    for number in range(len(trials)):
        assert beside.curve(number) == alone.curve(number)


def run_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, is_too_large: Callable[[Pack], bool]
) -> None:
    whole = Pack.train_epoch

    def train_epoch(pack: Pack, poll: Callable[[], None]) -> Any:
        if is_too_large(pack):
            raise torch.OutOfMemoryError("tried to allocate too much")
        return whole(pack, poll)

    monkeypatch.setattr(Pack, "train_epoch", train_epoch)


def test_running_out_of_memory_halves_the_pack_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs = [trial(epochs=4) for _ in range(4)]
    whole = play(make(lanes=4), configs)
    # from the second epoch on there is room for two
    run_out_of_memory(monkeypatch, lambda pack: len(pack.lanes) > 2 and pack.lanes[0].epoch > 0)
    halved = play(make(lanes=4), configs)
    for number in range(4):
        assert halved.curve(number) == whole.curve(number)


def test_a_trial_too_large_alone_fails_as_oom(monkeypatch: pytest.MonkeyPatch) -> None:
    run_out_of_memory(monkeypatch, lambda pack: any(lane.number == 1 for lane in pack.lanes))
    caller = play(make(lanes=3), [trial(), trial(), trial()])
    failure = caller.ends[1].failure
    assert failure is not None
    assert failure[0] is FailureKind.OOM
    assert caller.ends[0].outcome is caller.ends[2].outcome is LaneOutcome.COMPLETED


@pytest.fixture
def limit_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that lets stacks hold so many bytes at once, as a full device does."""
    held: dict[int, int] = {}
    whole = Stack.__init__

    def limit(n_bytes: int) -> None:
        def init(stack: Stack, shapes: Shapes, n_rows: int, **settings: Any) -> None:
            size = 8 * n_rows * sum(math.prod(shape) for shape in shapes.values())
            if sum(held.values()) + size > n_bytes:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
            whole(stack, shapes, n_rows, **settings)
            key = id(stack)
            held[key] = size
            weakref.finalize(stack, held.pop, key)

        monkeypatch.setattr(Stack, "__init__", init)

    return limit


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3, 0.26])
def test_with_too_little_memory_for_all_lanes_every_trial_ends_as_with_enough(
    limit_memory: Callable[[int], None], share: float
) -> None:
    models = [Mlp(hidden_units=(width,)) for width in (16, 16, 16, 15)]
    configs = [trial(model=model, epochs=4) for model in models]
    whole = play(make(lanes=4), configs)
    # a lane has its weights, gradients and best ones, momentum, and two snapshots
    one = 6 * 8 * sum(math.prod(shape) for shape in models[0].shapes(12, 4).values())
    limit_memory(int(4 * one * share))
    short = play(make(lanes=4), configs)
    for number in range(4):
        assert short.ends[number].outcome is LaneOutcome.COMPLETED, short.ends[number].failure
        assert short.curve(number) == whole.curve(number)


def test_a_trial_there_is_no_memory_for_even_alone_fails_as_oom(
    limit_memory: Callable[[int], None],
) -> None:
    small, large = Mlp(hidden_units=(16,)), Mlp(hidden_units=(160,))
    limit_memory(6 * 8 * sum(math.prod(shape) for shape in small.shapes(12, 4).values()))
    caller = play(make(lanes=2), [trial(model=small), trial(model=large), trial(model=small)])
    failure = caller.ends[1].failure
    assert failure is not None
    assert failure[0] is FailureKind.OOM
    assert caller.ends[0].outcome is caller.ends[2].outcome is LaneOutcome.COMPLETED


def test_a_cpu_that_would_promise_memory_it_has_not_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = Mlp(hidden_units=(16,)), Mlp(hidden_units=(16, 65_536))
    monkeypatch.setattr(placement_module, "free_bytes", lambda _: 1e6)
    caller = play(make(lanes=2), [trial(model=small), trial(model=large), trial(model=small)])
    failure = caller.ends[1].failure
    assert failure is not None
    assert failure[0] is FailureKind.OOM
    assert failure[1].endswith("0.001 GB are free")
    assert caller.ends[0].outcome is caller.ends[2].outcome is LaneOutcome.COMPLETED


def test_a_trial_that_waits_for_memory_can_be_handed_back_and_told_to_finish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def is_too_large(pack: Pack) -> bool:  # beside another pack, after its first epoch
        return pack.lanes[0].number == 1 and 0 < pack.lanes[0].epoch < 3

    others = [trial(model=Mlp(hidden_units=(width,)), epochs=6) for width in (16, 15)]
    whole = play(make(lanes=2), others)
    for reply in (Reply(hand_back=frozenset({1})), Reply(finish=frozenset({1}))):
        with monkeypatch.context() as patched:
            run_out_of_memory(patched, is_too_large)
            asked = 0

            def decide(boundary: Boundary, reply: Reply = reply) -> Reply:
                nonlocal asked
                asked += any(e.epoch >= 3 for r in boundary.reports for e in r.epochs)
                return reply if asked else Reply()

            caller = play(make(lanes=2), others, decide=decide)
        assert caller.curve(0) == whole.curve(0)
        assert caller.curve(1) == whole.curve(1)[: len(caller.curve(1))]
        if reply.finish:
            assert caller.ends[1].outcome is LaneOutcome.COMPLETED
        else:
            assert caller.handed_back[1].state is not None
            assert caller.handed_back[1].state.epoch == 1


def test_this_torch_says_that_memory_ran_out_in_words_that_are_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_trials_differ_by_their_number_and_studies_by_their_seed() -> None:
    caller = play(make(), [trial(), trial()])
    assert caller.curve(0) != caller.curve(1)
    assert play(make(seed=2), [trial()]).curve(0) != caller.curve(0)


def test_precision_is_put_back_after_a_fast_run() -> None:
    before = torch.get_float32_matmul_precision()
    play(make(precision="fast"), [trial()])
    assert torch.get_float32_matmul_precision() == before
