"""Studies over HTTP."""

import json
from datetime import datetime

import pytest
from pydantic import TypeAdapter

from hpsearch.api import shapes
from hpsearch.api.examples import CLASSIC
from hpsearch.storage import studies
from tests.services.in_process import Http
from tests.studies import document

YAML = {"content-type": "application/yaml"}
JSON = {"content-type": "application/json"}


def create(http: Http, name: str, **changes: object) -> None:
    answer = http.post("/v1/studies", json=document(name, **changes))
    assert answer.status_code == 201, answer.text


def test_a_study_from_json_comes_back_with_all_defaults(http: Http) -> None:
    answer = http.post("/v1/studies", json=document("first", tags=["a", "b"]))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/studies/first"
    study = answer.json()
    TypeAdapter(shapes.Study).validate_python(study)
    assert study["state"] == "ACTIVE"
    assert study["definition"]["model"]["activation"] == "relu"
    assert study["definition"]["model"]["hidden_units"] == {"low": 4, "high": 64, "log": True}
    assert study["counts"] == {"waiting": 0, "running": 0, "complete": 0, "pruned": 0, "fail": 0}
    assert study["best_trials"] == []
    assert study["tags"] == ["a", "b"]
    assert study["created_at"].endswith("Z")
    datetime.fromisoformat(study["created_at"])
    again = http.get("/v1/studies/first").json()
    assert again["definition"] == study["definition"]


def test_a_study_from_yaml_keeps_its_ranges_as_written(http: Http) -> None:
    answer = http.post("/v1/studies", content=CLASSIC, headers=YAML)
    assert answer.status_code == 201, answer.text
    optimizer = answer.json()["definition"]["optimizer"]
    assert optimizer["learning_rate"] == {"low": 1e-6, "high": 1, "log": True}


def test_the_full_definition_makes_the_same_study_again(http: Http) -> None:
    create(http, "one")
    definition = http.get("/v1/studies/one").json()["definition"]
    answer = http.post("/v1/studies", json={**definition, "name": "two"})
    assert answer.json()["definition"] == {**definition, "name": "two"}


def test_all_wrong_fields_come_in_one_answer_with_their_lines(lite: Http) -> None:
    text = CLASSIC.replace("low: 1e-6, high: 1", "low: 1, high: 1e-6").replace("mlp", "mlq")
    answer = lite.post("/v1/studies", content=text, headers=YAML)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/definition-invalid"
    found = {tuple(error["loc"]): error for error in problem["errors"]}
    assert ("model", "family") in found
    rate = next(found[loc] for loc in found if loc[:2] == ("optimizer", "learning_rate"))
    assert rate["line"] == 11
    assert lite.get("/v1/studies").json()["studies"] == []


def test_a_name_is_given_once(http: Http) -> None:
    create(http, "taken")
    answer = http.post("/v1/studies", json=document("taken"))
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/name-taken")


def test_a_replay_gives_the_first_study_and_another_body_is_refused(http: Http) -> None:
    headers = {"Idempotency-Key": "k1", **JSON}
    body = json.dumps(document("once"))
    assert http.post("/v1/studies", content=body, headers=headers).status_code == 201
    replay = http.post("/v1/studies", content=body, headers=headers)
    assert (replay.status_code, replay.json()["name"]) == (200, "once")
    other = http.post("/v1/studies", content=json.dumps(document("twice")), headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/key-reused")
    assert len(http.get("/v1/studies").json()["studies"]) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\t"])
def test_a_key_is_visible_ascii(lite: Http, key: str) -> None:
    headers = {"Idempotency-Key": key}
    answer = lite.post("/v1/studies", json=document(), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["Idempotency-Key"]


def test_validating_fills_in_and_counts_and_creates_nothing(lite: Http) -> None:
    grid = document(model={"family": "mlp", "hidden_units": {"choices": [8, 16, 32]}})
    grid["optimizer"] = {"name": "sgd", "learning_rate": {"choices": [0.1, 0.01]}}
    answer = lite.post("/v1/studies:validate", json=grid)
    assert answer.status_code == 200
    assert answer.json()["size"] == 6
    assert answer.json()["definition"]["training"]["batch_size"] == 64
    infinite = lite.post("/v1/studies:validate", json=document()).json()
    assert infinite["size"] is None
    assert lite.get("/v1/studies").json()["studies"] == []


def test_a_study_is_paused_resumed_stopped_and_deleted(http: Http) -> None:
    create(http, "steered")
    for verb, state in (("pause", "PAUSED"), ("pause", "PAUSED"), ("resume", "ACTIVE")):
        answer = http.post(f"/v1/studies/steered:{verb}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    refused = http.send("DELETE", "/v1/studies/steered")
    assert (refused.status_code, refused.json()["state"]) == (409, "ACTIVE")
    assert http.post("/v1/studies/steered:stop").json()["state"] == "STOPPED"
    gone = http.send("DELETE", "/v1/studies/steered")
    assert (gone.status_code, gone.content) == (204, b"")
    assert http.get("/v1/studies/steered").status_code == 404


def test_a_cancelled_study_does_not_go_on(http: Http) -> None:
    create(http, "ended")
    for _ in range(2):
        answer = http.post("/v1/studies/ended:cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "CANCELLED")
    for verb in ("pause", "resume"):
        answer = http.post(f"/v1/studies/ended:{verb}")
        assert answer.status_code == 409
        problem = answer.json()
        assert (problem["type"], problem["state"]) == ("/problems/wrong-state", "CANCELLED")


def test_deleting_a_study_deletes_its_artifacts(lite: Http) -> None:
    create(lite, "heavy")
    with lite.database.read() as tx:
        uuid = studies.get_study(tx, "heavy").uuid
    folder = lite.app.state.services.artifacts_dir / uuid
    folder.mkdir(parents=True)
    (folder / "0.safetensors").write_bytes(b"x")
    lite.post("/v1/studies/heavy:cancel")
    assert lite.send("DELETE", "/v1/studies/heavy").status_code == 204
    assert not folder.exists()


def test_pages_of_a_list_hold_every_study_once(http: Http) -> None:
    for number in range(5):
        create(http, f"s{number}", tags=["odd"] if number % 2 else [])
    names, url = [], "/v1/studies?limit=2"
    while url:
        page = http.get(url).json()
        assert len(page["studies"]) <= 2
        names += [study["name"] for study in page["studies"]]
        token = page["next_page_token"]
        url = token and f"/v1/studies?limit=2&page_token={token}"
        if len(names) == 2:
            create(http, "late")
    assert sorted(set(names) - {"late"}) == ["s0", "s1", "s2", "s3", "s4"]
    assert len(names) == len(set(names))
    odd = http.get("/v1/studies?tag=odd").json()["studies"]
    assert {study["name"] for study in odd} == {"s1", "s3"}
    http.post("/v1/studies/s2:pause")
    paused = http.get("/v1/studies?state=PAUSED").json()["studies"]
    assert [study["name"] for study in paused] == ["s2"]
