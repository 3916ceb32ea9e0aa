import pytest

from hpsearch.worker.pulse import LOADING_SILENCE_S, TRAINING_SILENCE_S, Pulse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[float]:
    return []


@pytest.fixture
def pulse(clock: Clock, said: list[float]) -> Pulse:
    return Pulse(said.append, lambda: False, clock)


def test_a_poll_allows_a_minute_of_silence(pulse: Pulse, said: list[float]) -> None:
    pulse.interrupted()
    pulse.report()
    assert said == [TRAINING_SILENCE_S]


def test_progress_allows_ten_minutes_of_silence(
    pulse: Pulse, said: list[float], clock: Clock
) -> None:
    clock.now += 1
    pulse.progress()
    pulse.report()
    assert said == [LOADING_SILENCE_S]


def test_the_last_sign_decides(pulse: Pulse, said: list[float]) -> None:
    pulse.progress()
    pulse.interrupted()
    pulse.report()
    assert said == [TRAINING_SILENCE_S]


def test_nothing_is_announced_without_a_new_sign(
    pulse: Pulse, said: list[float], clock: Clock
) -> None:
    pulse.interrupted()
    pulse.report()
    clock.now += 30
    pulse.report()
    assert len(said) == 1


def test_an_announcement_counts_from_the_sign_not_from_the_report(
    pulse: Pulse, said: list[float], clock: Clock
) -> None:
    pulse.interrupted()
    clock.now += 20
    pulse.report()
    assert said == [TRAINING_SILENCE_S - 20]


def test_a_slow_device_gets_ten_times_its_usual(
    pulse: Pulse, said: list[float], clock: Clock
) -> None:
    for _ in range(200):
        clock.now += 30
        pulse.interrupted()
    pulse.report()
    assert said == [pytest.approx(300, rel=0.01)]


def test_the_answer_is_whether_the_turn_should_end(clock: Clock) -> None:
    assert Pulse(lambda _: None, lambda: True, clock).interrupted()
