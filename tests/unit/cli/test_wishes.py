"""Commands that change what a study is after, and the calls behind them."""

import json
from typing import Any

import pytest

from hpsearch.client.client import Client
from tests.services.fake_api import TOKEN, FakeApi, trial
from tests.unit.cli.conftest import Shell


def last(api: FakeApi) -> tuple[str, str, Any]:
    method, path, _, _, body = api.requests[-1]
    return method, path, body


def test_set_sends_a_merge_patch(api: FakeApi, shell: Shell) -> None:
    api.add("digits")

    done = shell(
        "set", "digits", "max_trials=50", "limits.timeout_s=null", "weight=2", "tags=a, b"
    )

    assert done.out.strip() == "digits: ACTIVE, max_trials=50"
    patch = {"limits": {"max_trials": 50, "timeout_s": None}, "weight": 2, "tags": ["a", "b"]}
    assert last(api) == ("PATCH", "/v1/studies/digits", patch)
    again = json.loads(shell("set", "digits", "device_seconds=1e3", "--json").out)
    assert again["definition"]["limits"]["device_seconds"] == 1000.0


@pytest.mark.parametrize("change", ["max_trials", "seed=3", "=5", "optimizer.name=adam"])
def test_set_knows_what_can_be_changed(api: FakeApi, shell: Shell, change: str) -> None:
    api.add("digits")
    done = shell("set", "digits", change)
    assert done.code == 2
    assert "max_trials" in done.err
    assert api.requests == []


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        (
            ["--params", "optimizer.learning_rate=1e-2", "--params", "model.hidden_units[0]=64"],
            {"params": {"optimizer.learning_rate": 0.01, "model.hidden_units[0]": 64}, "count": 1},
        ),
        (["--params", '{"optimizer": "sgd"}'], {"params": {"optimizer": "sgd"}, "count": 1}),
        (["--from-trial", "0", "--count", "3"], {"from_trial": 0, "count": 3}),
    ],
)
def test_enqueue_adds_trials(
    api: FakeApi, shell: Shell, options: list[str], wish: dict[str, Any]
) -> None:
    api.add("digits", [trial(0)])

    done = shell("enqueue", "digits", *options)

    assert last(api) == ("POST", "/v1/studies/digits/trials", wish)
    assert api.requests[-1][3]["idempotency-key"]
    numbers = ", ".join(str(n) for n in range(1, 1 + wish["count"]))
    assert f"{numbers} will be trained next" in done.out


@pytest.mark.parametrize(
    "options", [[], ["--params", "a=1", "--from-trial", "0"], ["--params", "7"]]
)
def test_enqueue_wants_one_kind_of_point(api: FakeApi, shell: Shell, options: list[str]) -> None:
    api.add("digits")
    assert shell("enqueue", "digits", *options).code == 2
    assert api.requests == []


def test_retry_tells_the_new_number(api: FakeApi, shell: Shell) -> None:
    api.add("digits", [trial(0, "FAIL")])

    done = shell("retry", "digits", 0)

    assert done.out.strip() == "digits: trial 1 tries the point of trial 0 again"
    assert json.loads(shell("retry", "digits", 0, "--json").out)["number"] == 2


def test_a_trial_is_stopped_from_python(api: FakeApi) -> None:
    api.add("digits", [trial(0, "RUNNING")])
    with api.listening() as url, Client(url, TOKEN) as client:
        assert client.stop_trial("digits", 0).number == 0
    assert last(api) == ("POST", "/v1/studies/digits/trials/0:stop", "")
