"""Calls of the client against the API of the contract, in memory."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from hpsearch.client.client import PAGE_SIZE, Client
from hpsearch.errors import (
    BrokenInvariant,
    InvalidDefinition,
    InvalidRequest,
    MalformedBody,
    NameTaken,
    NotInstalled,
    StudyNotFound,
    TrialNotFound,
    Unauthorized,
    Unavailable,
    WrongState,
)
from hpsearch.spec.states import StudyState, TrialState
from hpsearch.spec.yaml import load_yaml
from tests.services.fake_api import TOKEN, FakeApi, study, trial

DEFINITION = {"name": "digits", "dataset": {"name": "digits"}}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(api: FakeApi, waits: list[float]) -> Client:
    return Client("http://server", TOKEN, transport=api.transport(), sleep=waits.append)


def posts(api: FakeApi) -> list[str]:
    return [path for method, path, *_ in api.requests if method == "POST"]


def test_a_submitted_mapping_becomes_a_study(client: Client, api: FakeApi) -> None:
    created = client.submit(DEFINITION)

    assert created.name == "digits"
    assert created.state is StudyState.ACTIVE
    assert created.created_at.tzinfo is not None
    assert list(api.studies) == ["digits"]


def test_a_file_without_a_name_is_called_by_its_stem(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "my-search.yaml"
    path.write_text("dataset: {name: digits}\n")

    assert client.submit(path).name == "my-search"


def test_a_post_whose_answer_is_lost_is_sent_again_and_makes_one_study(
    client: Client, api: FakeApi, waits: list[float]
) -> None:
    def lose_the_answer(request: httpx.Request) -> httpx.Response:
        response = real.handle_request(request)
        if len(posts(api)) == 1:
            raise httpx.ReadError("connection reset")
        return response

    real = api.transport()
    lossy = httpx.MockTransport(lose_the_answer)
    client = Client("http://server", TOKEN, transport=lossy, sleep=waits.append)

    created = client.submit(DEFINITION)

    assert created.name == "digits"
    keys = {headers["idempotency-key"] for _, _, _, headers, _ in api.requests}
    assert len(api.requests) == 2
    assert len(keys) == 1
    assert list(api.studies) == ["digits"]
    assert len(waits) == 1


def test_two_submissions_never_share_an_idempotency_key(client: Client, api: FakeApi) -> None:
    client.submit(DEFINITION)
    client.submit({**DEFINITION, "name": "other"})

    keys = {headers["idempotency-key"] for _, _, _, headers, _ in api.requests}
    assert len(keys) == 2


def test_the_same_definition_again_attaches(client: Client, api: FakeApi) -> None:
    client.submit(DEFINITION)

    assert client.submit(DEFINITION).name == "digits"
    assert list(api.studies) == ["digits"]


def test_the_same_definition_of_a_paused_study_resumes_it(client: Client) -> None:
    client.submit(DEFINITION)
    client.pause("digits")

    assert client.submit(DEFINITION).state is StudyState.ACTIVE


def test_another_definition_under_a_taken_name_is_refused(client: Client) -> None:
    client.submit(DEFINITION)

    with pytest.raises(NameTaken, match="digits"):
        client.submit({**DEFINITION, "seed": 7})


def test_new_appends_the_first_free_number(client: Client) -> None:
    names = [client.submit(DEFINITION, new=True).name for _ in range(3)]

    assert names == ["digits", "digits-2", "digits-3"]


def test_new_keeps_a_long_name_within_its_limit(client: Client) -> None:
    long = {**DEFINITION, "name": "x" * 63}

    client.submit(long)
    again = client.submit(long, new=True)

    assert again.name == "x" * 61 + "-2"


def test_all_wrong_fields_arrive_with_the_lines_of_the_text(client: Client) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        client.submit("dataset: {name: digits}\ntypo: 3\n")

    assert [(e.loc, e.line) for e in caught.value.errors] == [(("typo",), 2), (("name",), None)]


def test_text_that_is_no_yaml_is_refused_before_anything_is_sent(
    client: Client, api: FakeApi
) -> None:
    with pytest.raises(MalformedBody, match="line"):
        client.submit("name: [1,\n")
    assert api.requests == []


def test_a_value_no_format_can_carry_is_named(client: Client) -> None:
    with pytest.raises(InvalidDefinition, match=r"model.hidden_units\[1\]: .*got set"):
        client.submit({"name": "x", "model": {"hidden_units": [1, {2, 3}]}})


def test_a_number_json_cannot_carry_is_left_to_the_server_to_name(
    client: Client, api: FakeApi
) -> None:
    values = [math.nan, math.inf, -math.inf, 1.5, "nan"]

    client.validate({"name": "x", "tags": values})

    *_, headers, body = api.requests[0]
    assert headers["content-type"] == "application/yaml"
    document, _ = load_yaml(body)
    assert repr(document) == repr({"name": "x", "tags": values})


def test_validate_tells_size_and_warnings_and_creates_nothing(
    client: Client, api: FakeApi
) -> None:
    checked = client.validate(DEFINITION)

    assert (checked.size, checked.warnings) == (12, ("no GPU is alive",))
    assert checked.definition["seed"] == 0
    assert api.studies == {}


def test_lists_are_followed_over_all_pages(client: Client, api: FakeApi) -> None:
    n_trials = 2 * PAGE_SIZE + 1
    api.add("digits", [trial(number) for number in range(n_trials)])

    numbers = [t.number for t in client.trials("digits", order_by="-number")]

    assert numbers == list(reversed(range(n_trials)))


def test_a_filter_reaches_the_server(client: Client, api: FakeApi) -> None:
    api.add("digits", [trial(0), trial(1, "RUNNING")])

    assert [t.number for t in client.trials("digits", state=TrialState.RUNNING)] == [1]


def test_a_trial_comes_with_its_attempts(client: Client, api: FakeApi) -> None:
    api.add("digits", [trial(0)])

    assert [a.worker for a in client.trial("digits", 0).attempts] == ["host:cpu0"]


def test_a_nonfinite_metric_is_back_in_its_place(client: Client, api: FakeApi) -> None:
    api.add("digits", [trial(0)])
    row = {"epoch": 1, "train_loss": 0.5, "val_loss": None, "nonfinite": {"val_loss": "inf"}}
    api.epochs[0] = [row]

    (epoch,) = client.epochs("digits", 0)

    assert (epoch.number, epoch.epoch) == (0, 1)
    assert epoch.metrics == {"train_loss": 0.5, "val_loss": math.inf}


def test_what_does_not_exist_is_named(client: Client, api: FakeApi) -> None:
    api.add("digits")

    with pytest.raises(StudyNotFound, match="nothing"):
        client.study("nothing")
    with pytest.raises(TrialNotFound) as caught:
        client.trial("digits", 5)
    assert caught.value.number == 5


@pytest.mark.parametrize("name", ["", "..", "a/b", "a:cancel", "Digits", "a?b", "x" * 64])
def test_a_name_no_study_can_have_is_never_sent(client: Client, api: FakeApi, name: str) -> None:
    with pytest.raises(StudyNotFound):
        client.study(name)
    assert api.requests == []


def test_a_verb_that_does_not_apply_tells_the_state(client: Client, api: FakeApi) -> None:
    api.add("digits", state="COMPLETED")

    with pytest.raises(WrongState) as caught:
        client.pause("digits")
    assert caught.value.state == "COMPLETED"
    assert str(caught.value) == "cannot pause study 'digits': it is COMPLETED"


def test_a_deletion_whose_answer_is_lost_is_done(client: Client, api: FakeApi) -> None:
    api.next_answers = [httpx.ReadTimeout("slow")]

    client.delete("digits")  # the server had done it before the timeout

    with pytest.raises(StudyNotFound):
        client.delete("digits")


def test_a_server_that_is_busy_is_asked_again(
    client: Client, api: FakeApi, waits: list[float]
) -> None:
    api.add("digits")
    api.next_answers = [(503, "busy"), (502, "<html>"), httpx.ConnectError("refused")]

    assert client.study("digits").name == "digits"
    assert len(waits) == 3
    assert waits == sorted(waits)


def test_a_server_that_is_not_there_is_unavailable_and_says_what_to_do(
    client: Client, api: FakeApi
) -> None:
    api.next_answers = [httpx.ConnectError("refused")] * 10

    with pytest.raises(Unavailable, match=r"http://server .*refused.*hpsearch up.*HPSEARCH_URL"):
        client.study("digits")


def test_a_page_that_is_not_the_api_is_no_answer(client: Client, api: FakeApi) -> None:
    api.next_answers = [(200, "<html>hello</html>")]

    with pytest.raises(InvalidRequest, match="text/plain"):
        client.study("digits")


def test_an_answer_of_another_version_says_so(client: Client, api: FakeApi) -> None:
    api.add("digits")
    del api.studies["digits"]["counts"]

    with pytest.raises(BrokenInvariant, match=r"counts.*versions"):
        client.study("digits")


def test_fields_of_a_newer_server_are_left_out(client: Client, api: FakeApi) -> None:
    api.add("digits", fancy_new_field=1)

    assert client.study("digits").name == "digits"


def test_a_wrong_token_is_refused_without_showing_it(api: FakeApi) -> None:
    client = Client("http://server", "wrong-secret", transport=api.transport())

    with pytest.raises(Unauthorized, match="HPSEARCH_TOKEN") as caught:
        client.study("digits")
    assert "wrong-secret" not in str(caught.value)


def test_wait_returns_the_ended_study_and_reports_changes_once(
    client: Client, api: FakeApi, waits: list[float]
) -> None:
    running = study("digits", [trial(0)])
    done = study("digits", [trial(0), trial(1)], state="COMPLETED")
    api.next_answers = [(200, running), (200, running), (200, done)]
    seen: list[int] = []

    ended = client.wait("digits", on_update=lambda s: seen.append(s.counts.complete))

    assert ended.state is StudyState.COMPLETED
    assert seen == [1, 2]
    assert len(waits) == 2


def test_wait_rides_out_a_restart_of_the_server(client: Client, api: FakeApi) -> None:
    outage = [httpx.ConnectError("refused")] * 7
    api.next_answers = [(200, study("digits", [])), *outage]
    api.add("digits", state="COMPLETED")

    assert client.wait("digits").state is StudyState.COMPLETED


def test_the_login_link_carries_the_token(client: Client) -> None:
    assert client.login_link() == f"http://server/login?token={TOKEN}"


def test_bodies_are_json_without_nan(client: Client, api: FakeApi) -> None:
    client.submit({**DEFINITION, "description": "größer"})

    *_, headers, body = api.requests[0]
    assert headers["content-type"] == "application/json"
    assert json.loads(json.dumps(body, allow_nan=False))["description"] == "größer"


def test_events_outlive_their_connection_and_go_on_after_the_last(
    client: Client, api: FakeApi
) -> None:
    api.add("digits", [trial(0)])
    active = dict(api.studies["digits"])
    epoch = {"number": 0, "epoch": 1, "metrics": {"val_loss": 0.5}}
    api.told = [
        [(3, "study", active), (4, "epoch", epoch), (4, "news_of_tomorrow", {})],
        [(4, "study", active), (7, "epoch", {**epoch, "epoch": 2})],
        [(8, "study", {**active, "state": "COMPLETED"})],
    ]
    events = []
    for event in client.events("digits", after=0):
        if event.id == 3:
            api.next_answers = [None, httpx.ConnectError("restarting"), None]
        events.append(event)

    assert [(e.kind, e.id) for e in events] == [
        ("study", 3),
        ("epoch", 4),
        ("study", 4),
        ("epoch", 7),
        ("study", 8),
    ]
    assert events[1].data == epoch
    asked = [query for _, path, query, *_ in api.requests if path.endswith("/events")]
    assert asked == [{"after": ["0"]}, {"after": ["4"]}, {"after": ["7"]}]


def test_events_of_an_unknown_study_or_of_no_server_are_told_at_once(
    client: Client, api: FakeApi
) -> None:
    with pytest.raises(StudyNotFound):
        next(client.events("nothing"))
    api.add("digits")
    api.next_answers = [httpx.ConnectError("nobody there")]
    with pytest.raises(Unavailable, match="hpsearch up"):
        next(client.events("digits"))


def test_the_best_trial_is_one_or_none(client: Client, api: FakeApi) -> None:
    api.add("digits", [trial(0, "RUNNING")])
    assert client.best("digits") is None
    api.add("digits", [trial(0), trial(1)])
    best = client.best("digits")
    assert best is not None
    assert best.number == 1


def test_trials_as_a_table_need_pandas_and_say_so(
    client: Client, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add("digits", [trial(0)])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotInstalled, match="pip install pandas"):
        client.trials_frame("digits")


def test_trials_as_a_table_have_a_column_for_every_parameter_and_metric(
    client: Client, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frame(list[dict[str, object]]):
        def set_index(self, name: str) -> "Frame":
            self.sort(key=lambda row: int(str(row[name])))
            return self

    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Frame))
    api.add("digits", [trial(0), trial(1, "RUNNING")])
    frame = client.trials_frame("digits")
    assert [row["number"] for row in frame] == [0, 1]
    assert frame[0]["val_accuracy"] == 0.9
    assert frame[0]["test_accuracy"] == 0.89
    assert frame[0]["optimizer.learning_rate"] == 0.01
    assert (frame[1]["state"], frame[1]["best_epoch"]) == ("RUNNING", None)


def test_a_token_of_any_characters_fits_into_the_login_link(api: FakeApi) -> None:
    client = Client("http://server", "a&b#c d+%", transport=api.transport())
    assert client.login_link() == "http://server/login?token=a%26b%23c%20d%2B%25"


@pytest.mark.parametrize("token", ["é", "a\nb", "a\x00"])
def test_a_token_no_header_can_hold_is_refused(api: FakeApi, token: str) -> None:
    with pytest.raises(InvalidRequest, match="token"):
        Client("http://server", token, transport=api.transport())
