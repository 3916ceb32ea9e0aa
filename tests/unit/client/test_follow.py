"""What is new since the last look at a study."""

import pytest

from hpsearch.client.client import Client
from hpsearch.client.follow import Follower, goal_metric
from tests.services.fake_api import TOKEN, FakeApi, trial


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def client(api: FakeApi) -> Client:
    return Client("http://server", TOKEN, transport=api.transport())


def test_trials_that_finish_are_told_once_whatever_their_order(
    client: Client, api: FakeApi
) -> None:
    old = trial(0, finished_at="2025-12-31T23:00:00Z")
    api.add("digits", [old, trial(1, "RUNNING"), trial(2, "RUNNING")])
    follower = Follower(client, "digits")

    first = follower.look()
    api.add("digits", [old, trial(1, "RUNNING"), trial(2), trial(3, "RUNNING")])
    second = follower.look()
    api.add("digits", [old, trial(1, "PRUNED"), trial(2), trial(3, "RUNNING")])
    third = follower.look()
    fourth = follower.look()

    told = [[t.number for t in look.finished] for look in (first, second, third, fourth)]
    assert told == [[], [2], [1], []]


def test_running_trials_come_with_their_last_epoch(client: Client, api: FakeApi) -> None:
    api.add("digits", [trial(0), trial(1, "RUNNING"), trial(2, "RUNNING", epochs=0)])
    api.epochs[1] = [{"epoch": 1, "val_accuracy": 0.5}, {"epoch": 3, "val_accuracy": 0.8}]

    look = Follower(client, "digits").look()

    assert [t.number for t in look.running] == [1, 2]
    assert look.latest[1].metrics == {"val_accuracy": 0.8}
    assert set(look.latest) == {1}


@pytest.mark.parametrize(
    ("objectives", "metric"),
    [
        ([{"metric": "val_rmse"}], "val_rmse"),
        ([{"metric": "n_parameters"}, {"metric": "val_accuracy"}], "val_accuracy"),
        ([{"metric": "n_parameters"}], "val_loss"),
        (None, "val_loss"),
    ],
)
def test_the_goal_is_the_first_objective_of_every_epoch(objectives: object, metric: str) -> None:
    assert goal_metric({"objectives": objectives}) == metric
