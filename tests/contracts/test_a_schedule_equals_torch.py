"""Every schedule: a lane's learning rate at every step is torch's, or the formula's by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.schedules import (
    AnySchedule,
    Constant,
    Cosine,
    Cyclical,
    Exponential,
    InverseTime,
    Schedule,
    Step,
    WarmRestarts,
)
from hpsearch.optimizers.sgd import Sgd
from hpsearch.training.engine import Engine
from hpsearch.training.seeds import epoch_order, initial_generator
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

SEED, RATE, N_EPOCHS = 11, 0.05, 8
CLASSES = class_splits()
BATCH = 24  # 200 examples: 9 steps an epoch, the last of 8 examples
N_STEPS = math.ceil(len(CLASSES.train) / BATCH)
Scheduler = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def by_step(factor: Callable[[float], float]) -> Scheduler:
    return lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda s: factor(s / N_STEPS))


def staircase(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    return lr_scheduler.StepLR(optimizer, step_size=2 * N_STEPS, gamma=0.3)


def triangle(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    return lr_scheduler.CyclicLR(
        optimizer, 0.2 * RATE, RATE, step_size_up=2 * N_STEPS, cycle_momentum=False
    )


SCHEDULES: list[tuple[AnySchedule, Scheduler]] = [
    (Constant(), by_step(lambda _: 1.0)),
    (Step(factor=0.3, every_epochs=2), staircase),
    (Exponential(factor=0.7), by_step(lambda t: 0.7**t)),
    (InverseTime(rate=0.5), by_step(lambda t: 1 / (1 + 0.5 * t))),
    (
        Cosine(min_factor=0.1),
        lambda optimizer: lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=N_EPOCHS * N_STEPS, eta_min=0.1 * RATE
        ),
    ),
    (Cyclical(min_factor=0.2, cycle_epochs=4), triangle),
    (
        WarmRestarts(cycle_epochs=1, cycle_mult=2, min_factor=0.05),
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=N_STEPS, T_mult=2, eta_min=0.05 * RATE
        ),
    ),
    (
        WarmRestarts(cycle_epochs=2),
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2 * N_STEPS),
    ),
    (
        Exponential(factor=0.5, warmup_epochs=1.5),
        by_step(lambda t: t / 1.5 if t < 1.5 else 0.5 ** (t - 1.5)),
    ),
    (
        Cosine(warmup_epochs=2),
        by_step(
            lambda t: t / 2 if t < 2 else (1 + math.cos(math.pi * (t - 2) / (N_EPOCHS - 2))) / 2
        ),
    ),
]


def test_every_schedule_is_compared() -> None:
    assert {type(schedule) for schedule, _ in SCHEDULES} == set(Schedule.__subclasses__())


def rates_of(scheduler: Scheduler) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], RATE)
    stepped, rates = scheduler(optimizer), []
    for _ in range(N_EPOCHS * N_STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stepped.step()
    return rates


@pytest.mark.parametrize(("schedule", "scheduler"), SCHEDULES)
def test_the_rate_of_every_step_is_torchs(schedule: AnySchedule, scheduler: Scheduler) -> None:
    rule = Sgd(learning_rate=RATE, schedule=schedule)
    steps = np.arange(N_EPOCHS * N_STEPS) + 1
    rates = rule.rates(steps, n_steps=N_STEPS, n_epochs=N_EPOCHS)
    np.testing.assert_allclose(rates, rates_of(scheduler), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", [Sgd, Adam])
def test_lanes_with_schedules_of_their_own_are_what_plain_torch_trains(
    rule: type[Sgd | Adam],
) -> None:
    rate = RATE if rule is Sgd else RATE / 20
    configs = [
        trial(
            optimizer=rule(learning_rate=rate, schedule=schedule),
            epochs=N_EPOCHS,
            batch_size=BATCH,
        )
        for schedule, _ in SCHEDULES
    ]
    engine = Engine(CLASSES, LOWEST_LOSS, SEED, lanes=4, dtype=torch.float64)
    caller = play(engine, configs)
    x, y = torch.from_numpy(CLASSES.train.x).double(), torch.from_numpy(CLASSES.train.y)
    kind = torch.optim.SGD if rule is Sgd else torch.optim.Adam
    for number, (_, scheduler) in enumerate(SCHEDULES):
        end = caller.ends[number]
        assert end.best_epoch is not None
        assert end.weights is not None
        model = configs[number].model
        network = model.plain(CLASSES.n_inputs, CLASSES.n_outputs).double()  # type: ignore[attr-defined] # a Model
        initial = model.initial(  # type: ignore[attr-defined] # a Model
            CLASSES.n_inputs, CLASSES.n_outputs, initial_generator(SEED, number)
        )
        network.load_state_dict({name: torch.from_numpy(a) for name, a in initial.items()})
        optimizer = kind(network.parameters(), rate)
        rates = iter(rates_of(scheduler))
        for epoch in range(1, end.best_epoch + 1):
            order = torch.from_numpy(epoch_order(SEED, epoch, len(x)))
            for batch in torch.split(order, BATCH):
                for group in optimizer.param_groups:
                    group["lr"] = next(rates) * rate / RATE
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
                loss.backward()  # type: ignore[no-untyped-call] # torch's
                optimizer.step()
        for name, tensor in network.state_dict().items():
            np.testing.assert_allclose(end.weights[name], tensor.numpy(), rtol=1e-8, atol=1e-10)


def test_the_metric_is_the_mean_rate_of_the_epoch() -> None:
    configs = [
        trial(optimizer=Sgd(learning_rate=RATE, schedule=schedule), epochs=N_EPOCHS)
        for schedule in (Constant(), Exponential(factor=0.5), Cosine(warmup_epochs=1))
    ]
    caller = play(Engine(CLASSES, LOWEST_LOSS, SEED, lanes=3), configs)
    constant, exponential, cosine = (
        [one.metrics["learning_rate"] for one in caller.epochs[number]] for number in range(3)
    )
    assert constant == [RATE] * N_EPOCHS
    steps = np.arange(10) / 10  # 200 examples in batches of 20
    assert exponential[1] == pytest.approx(RATE * float((0.5 ** (1 + steps)).mean()))
    assert cosine[0] == pytest.approx(RATE * float(steps.mean()))


def test_a_boundary_is_a_boundary_whatever_the_rounding() -> None:
    schedule = Step(factor=0.5, every_epochs=1, warmup_epochs=0.1)
    n_steps = 430
    time = np.arange(20 * n_steps) / n_steps
    factors = schedule.at(time, 20)
    for epoch in range(1, 19):
        first = round((epoch + 0.1) * n_steps)
        assert factors[first] == 0.5**epoch
        assert factors[first - 1] == 0.5 ** (epoch - 1)
