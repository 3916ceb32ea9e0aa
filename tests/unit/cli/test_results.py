"""Commands that show studies and trials."""

import json

import pytest

from tests.services.fake_api import FakeApi, trial
from tests.unit.cli.conftest import Shell


def test_studies_are_listed_with_state_progress_and_best(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0), trial(1)])
    api.add("other", state="FAILED", state_reason="DATASET")

    done = shell("studies")

    assert done.code == 0
    assert "digits" in done.out
    assert "2 of 20" in done.out
    assert "val_accuracy 0.901" in done.out
    assert "FAILED DATASET" in done.out


def test_studies_as_json_have_the_shape_and_the_time_zone_of_the_api(
    api: FakeApi, shell: Shell
) -> None:
    api.add("digits", [trial(0)])

    listed = json.loads(shell("studies", "--json").out)

    assert listed == {"studies": [api.studies["digits"]]}


def test_no_study_yet_is_said(api: FakeApi, shell: Shell) -> None:
    assert "no study yet" in shell("studies").out


def test_a_state_is_understood_in_small_letters(api: FakeApi, shell: Shell) -> None:
    api.add("digits", state="PAUSED")
    api.add("other")

    out = shell("studies", "--state", "paused").out

    assert "digits" in out
    assert "other" not in out


def test_show_tells_all_about_a_study(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0), trial(1, "RUNNING")], warnings=["no GPU is alive"])

    out = shell("show", "digits").out

    for part in ("digits", "ACTIVE", "1 of 20 finished", "1 running", "no GPU is alive"):
        assert part in out


def test_show_of_a_trial_has_parameters_attempts_and_epochs(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0)])
    api.epochs[0] = [{"epoch": 1, "val_loss": 0.25}]

    out = shell("show", "digits", "0").out

    for part in ("optimizer.learning_rate", "0.01", "host:cpu0", "val_loss", "0.25"):
        assert part in out


def test_a_failed_trial_says_why(api: FakeApi, shell: Shell) -> None:
    why = {"kind": "diverged", "message": "val_loss is [inf] after epoch 3"}
    api.add("digits", [trial(0, "FAIL", failure=why)])

    assert "diverged: val_loss is [inf] after epoch 3" in shell("show", "digits", 0).out
    assert "diverged" in shell("trials", "digits").out


def test_trials_are_listed_best_first_on_demand(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0), trial(1)])

    rows = shell("trials", "digits", "--order-by", "value").out.splitlines()

    assert [row.split()[0] for row in rows] == ["trial", "1", "0"]


def test_a_limit_shows_that_there_is_more(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(n) for n in range(3)])

    done = shell("trials", "digits", "--limit", "2", "--json")

    assert [t["number"] for t in json.loads(done.out)["trials"]] == [0, 1]
    assert "--limit" in done.err


def test_a_nonfinite_value_is_valid_json(api: FakeApi, shell: Shell) -> None:
    values = {"val_loss": None, "nonfinite": {"val_loss": "nan"}}
    api.add("digits", [trial(0, values=values)])

    out = shell("trials", "digits", "--json").out

    assert json.loads(out, parse_constant=pytest.fail)["trials"][0]["values"] == values


def test_best_shows_the_best_trial_and_the_runners_up(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(n) for n in range(7)])

    out = shell("best", "digits").out

    assert "best trial" in out
    assert "Top 5 of 7" in out
    assert "learning_rate=0.07" in out
    assert "learning_rate=0.02" not in out  # the sixth best


def test_best_without_a_complete_trial_is_no_error(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0, "RUNNING")])

    done = shell("best", "digits")

    assert (done.code, done.out.strip()) == (0, "No trial is complete yet.")


@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 1)])
def test_watch_exits_as_the_study_ends(api: FakeApi, shell: Shell, state: str, code: int) -> None:
    api.add("digits", [trial(0)], state=state)

    done = shell("watch", "digits")

    assert done.code == code
    assert f"digits is {state}" in done.out


def test_watch_as_json_writes_an_event_a_line(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0)], state="COMPLETED", state_reason="MAX_TRIALS")

    epoch = {"number": 0, "epoch": 3, "metrics": {"val_loss": None}}
    epoch["nonfinite"] = {"val_loss": "inf"}
    active = {**api.studies["digits"], "state": "ACTIVE"}
    api.told = [[(4, "study", {**active, "definition": None}), (5, "epoch", epoch)]]
    done = shell("watch", "digits", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]

    assert done.code == 0
    # the stream broke before the study had ended, and was opened again where it was
    assert [e["event"] for e in events] == ["study", "epoch", "study"]
    assert all(e["study"] == "digits" for e in events)
    assert events[1]["nonfinite"] == {"val_loss": "inf"}
    assert events[-1]["state"] == "COMPLETED"
    assert events[-1]["created_at"].endswith("Z")
    assert "definition" not in events[-1]
    asked = [query for _, path, query, *_ in api.requests if path.endswith("/events")]
    assert asked == [{}, {"after": ["5"]}]


def test_workers_are_listed_with_the_study_they_train(api: FakeApi, shell: Shell) -> None:
    assert "no worker" in shell("workers").out
    api.workers = [
        {
            "name": "host:cpu0",
            "device": "cpu:0",
            "study": "digits",
            "trials": list(range(20)),
            "started_at": "2026-01-01T00:00:00Z",
            "silent_s": 1.0,
        }
    ]
    out = shell("workers").out
    assert "digits" in out
    assert "20 in all" in out
    assert json.loads(shell("workers", "--json").out)["workers"][0]["study"] == "digits"


def test_an_unknown_study_is_a_usage_error(api: FakeApi, shell: Shell) -> None:
    done = shell("show", "nothing")

    assert done.code == 2
    assert "no study named 'nothing'" in done.err
