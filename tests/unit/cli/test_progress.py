"""How a running study looks on a terminal, in a file and to a program."""

import io

import pytest
from rich.console import Console

from hpsearch.cli.console import format_duration, format_number, format_params
from hpsearch.cli.progress import Bars, Display, Lines, make_display
from hpsearch.client.decode import decode
from hpsearch.client.follow import Look
from hpsearch.spec.views import EpochView, StudyView, TrialSummary
from tests.services.fake_api import study, trial


def look(*trials: dict[str, object], new: tuple[int, ...] = (), **changes: object) -> Look:
    views = [decode(TrialSummary, row) for row in trials]
    running = tuple(view for view in views if view.state == "RUNNING")
    return Look(
        study=decode(StudyView, study("digits", list(trials), **changes)),
        running=running,
        latest={t.number: EpochView(t.number, t.epochs, {"val_accuracy": 0.5}) for t in running},
        finished=tuple(view for view in views if view.number in new),
    )


def text_of(display: Display, output: io.StringIO, *looks: Look) -> str:
    with display:
        for seen in looks:
            display.show(seen)
    return output.getvalue()


def test_lines_tell_each_finished_trial_and_each_state_once() -> None:
    output = io.StringIO()
    lines = Lines(Console(file=output, width=200))
    first = look(trial(0, "RUNNING"))
    second = look(trial(0), new=(0,))
    paused = look(trial(0), state="PAUSED")

    told = text_of(lines, output, first, first, second, look(trial(0)), paused).splitlines()

    assert len(told) == 4
    assert told[0] == "digits: ACTIVE, 0/20 trials, 1 running; trial 0 epoch 3"
    assert told[1].startswith("digits: trial 0 COMPLETE val_accuracy 0.9 (20 epochs, ")
    assert told[1].endswith("learning_rate=0.01 hidden_units[0]=64")
    assert told[2].endswith(
        "1/20 trials, waiting for a worker, best so far val_accuracy 0.9 (trial 0)"
    )
    assert told[3].startswith("digits: PAUSED")


def test_lines_say_why_a_trial_was_pruned_or_failed() -> None:
    output = io.StringIO()
    pruned = {"rule": "median", "epoch": 3, "value": 0.1, "threshold": 0.4}
    failure = {"kind": "diverged", "message": "loss is [nan]"}
    seen = look(trial(0, "PRUNED", pruned=pruned), trial(1, "FAIL", failure=failure), new=(0, 1))

    told = text_of(Lines(Console(file=output, width=200)), output, seen)

    assert "trial 0 PRUNED by median at epoch 3" in told
    assert "trial 1 FAIL diverged: loss is [nan]" in told
    assert "1 pruned, 1 failed" in told


def test_lines_give_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.cli.progress.QUIET_S", -1.0)
    output = io.StringIO()
    seen = look(trial(4, "RUNNING"))

    told = text_of(Lines(Console(file=output, width=200)), output, seen, seen).splitlines()

    assert told[1].endswith("; trial 4 epoch 3")


def test_bars_show_the_study_and_its_running_trials() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=30)
    bars = Bars(console)
    seen = look(trial(0), *(trial(n, "RUNNING") for n in range(1, 12)))

    told = text_of(bars, output, seen)

    for part in ("digits ACTIVE", "1/20 trials", "epoch 3/20", "val_accuracy 0.5"):
        assert part in told
    assert "and 3 more running" in told


def test_bars_stay_within_a_narrow_terminal() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, height=30, no_color=True)

    told = text_of(Bars(console), output, look(trial(0), trial(1, "RUNNING")))

    visible = Console(file=io.StringIO()).render_str(told).plain
    assert "digits" in visible


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, Bars), (False, Lines)])
def test_the_display_suits_its_place(*, is_terminal: bool, kind: type) -> None:
    console = Console(
        file=io.StringIO(), force_terminal=is_terminal, force_interactive=is_terminal
    )

    assert type(make_display(console)) is kind


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0s"),
        (0.044, "0.04s"),
        (4.44, "4.4s"),
        (42.4, "42s"),
        (185, "3m 05s"),
        (7800, "2h 10m"),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "True"),
        (4810, "4,810"),
        (0.98765, "0.9877"),
        (1e-5, "1e-05"),
        ("relu", "relu"),
    ],
)
def test_numbers_are_short(value: object, text: str) -> None:
    assert format_number(value) == text


def test_parameters_keep_their_section_only_where_two_share_a_name() -> None:
    params = {"optimizer.l2": 0.1, "model.dropout[0]": 0.2, "model.dropout[1]": 0.3, "a.l2": 1}

    text = format_params(params)

    assert text == "optimizer.l2=0.1 dropout[0]=0.2 dropout[1]=0.3 a.l2=1"
