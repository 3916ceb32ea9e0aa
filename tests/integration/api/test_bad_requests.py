"""No bad input gets a 5xx, and every refusal is a problem."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.storage.schema import upgrade
from tests.services.in_process import Http, served
from tests.studies import document

YAML = {"content-type": "application/yaml"}
JSON = {"content-type": "application/json"}
DEEP = 100_000
BILLION_LAUGHS = "a: &a [x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
)


@pytest.fixture(scope="module")
def shared(shared_http: Http) -> Http:
    """One API for all tests here, with one study: nothing they send changes anything."""
    assert shared_http.post("/v1/studies", json=document()).status_code == 201
    return shared_http


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """The API on SQLite, for what no database ever sees."""
    folder = tmp_path_factory.mktemp("lite")
    upgrade(f"sqlite:///{folder / 'hpsearch.db'}")
    with served(f"sqlite:///{folder / 'hpsearch.db'}", folder / "data") as http:
        yield http


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """Return the problem an answer carries, after looking at its form."""
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert content["status"] == answer.status_code
    assert content["type"].startswith("/problems/")
    assert {"title", "detail", "instance"} <= content.keys()
    return content


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"", YAML, 400),
        (b"   \n", JSON, 400),
        (b"{", JSON, 400),
        (b"{} {}", JSON, 400),
        (b'{"name": "a", "name": "b"}', JSON, 400),
        (b"name: a\nname: b\n", YAML, 400),
        (b"\xff\xfe{}", JSON, 400),
        (b"name: \xff", YAML, 400),
        (b'{"name": "\\ud800"}', JSON, 422),
        (b'{"name": "a\\u0000"}', JSON, 422),
        (b'{"seed": NaN}', JSON, 400),
        (b'{"seed": -Infinity}', JSON, 400),
        (b"[" * DEEP, JSON, 400),
        (b"[" * DEEP + b"]" * DEEP, JSON, 400),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON, 400),
        (b"[" * DEEP + b"]" * DEEP, YAML, 400),
        (b"- " * DEEP, YAML, 400),
        (b"1" * 100_000, JSON, 400),
        (b'{"seed": ' + b"1" * 5000 + b"}", JSON, 400),
        (b"seed: " + b"1" * 5000, YAML, 400),
        (BILLION_LAUGHS.encode(), YAML, 400),
        (b"!!python/object/apply:os.system [ls]", YAML, 400),
        (b"a: 1\n---\nb: 2\n", YAML, 400),
        (b"null", JSON, 422),
        (b"[]", JSON, 422),
        (b'"text"', JSON, 422),
        (b"1", JSON, 422),
        (b"plain text", YAML, 422),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"content-type": "application/jsonp"}, 415),
        (b"{}", {"content-type": ""}, 415),
        (b"{}", {"content-type": b";;;=\x80"}, 415),
        (b"{}", {"content-type": "application/json; charset=utf-16"}, 415),
        (b"{}", {**JSON, "content-encoding": "gzip"}, 415),
        (b" " * 1_048_577, JSON, 413),
    ],
)
@pytest.mark.parametrize("path", ["/v1/studies", "/v1/studies:validate"])
def test_a_body_that_is_no_definition_is_refused(
    lite: Http, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    # some of these are wrong in two ways; which one is told first does not matter
    statuses = {400: (400, 422), 422: (400, 422)}.get(status, (status,))
    refused(lite.post(path, content=body, headers=headers), *statuses)


def test_a_chunked_body_without_a_length_is_counted(lite: Http) -> None:
    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 500_000

    refused(lite.post("/v1/studies", content=chunks(), headers=JSON), 413)


def test_a_chunked_body_without_a_length_is_read(lite: Http) -> None:
    async def chunks() -> Any:
        for char in json.dumps(document()):
            yield char.encode()

    assert lite.post("/v1/studies", content=chunks(), headers=JSON).status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.5",
        "limit=ten",
        "limit=%00",
        "limit=" + "9" * 5000,
        "limit=1&limit=0",
        "page_token=x",
        "page_token=%00",
        "page_token=%FF%FE",
        "page_token=" + "A" * 4000,
        "page_token=WzFd",
        "page_token=WzFlNDAwLDFd",
        "page_token=W251bGwsbnVsbF0",
        "page_token=WzkyMjMzNzIwMzY4NTQ3NzU4MDcsMV0",
        "state=active",
        "state=DONE",
        "tag=%00",
        "tag=" + "t" * 5000,
        "sate=ACTIVE",
        "%00=1",
        "%FF=%FF",
    ],
)
def test_a_senseless_query_of_studies_is_refused(shared: Http, query: str) -> None:
    found = refused(shared.get(f"/v1/studies?{query}"), 422)["errors"]
    assert found[0]["loc"]
    assert all(len(str(error["input"])) <= 200 for error in found)


@pytest.mark.parametrize(
    "path",
    [
        "trials?order_by=best",
        "trials?order_by=%00",
        "trials?origin=mars",
        "trials?state=",
        "trials?page_token=WzFd",
        "trials?page_token=Wzk5OTk5OTk5OTk5OTk5OTk5OV0",
        "trials?page_token=Wy0xXQ",
        "trials?order_by=value&page_token=Wzk5OV0",
        "trials/x",
        "trials/-1",
        "trials/1e3",
        "trials/0x10",
        "trials/2147483648",
        "trials/" + "9" * 5000,
        "trials/%00",
        "trials/0/epochs?limit=x",
        "trials/0/epochs?page_token=Wy0xXQ",
        "epochs?points=0",
        "epochs?points=1e9",
        "epochs?number=-1",
        "epochs?number=9999999999",
        "epochs?number=x&number=y",
        "epochs?metric=%00",
        "epochs?metric=nothing",
        "best-trials?limit=x",
        "nothing",
        "trials/0/model",
    ],
)
def test_a_strange_address_of_a_study_is_no_error_of_ours(shared: Http, path: str) -> None:
    answer = shared.get(f"/v1/studies/study/{path}")
    if answer.status_code != 200:
        refused(answer, 404, 422)


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "%00",
        "a%00b",
        "%FF",
        "%ED%A0%80",
        "%C3%A4",
        "A",
        "%2e%2e",
        "a%2Fb",
        "%",
        "%zz",
        "'; DROP TABLE studies; --",
        "x" * 64,
        "x" * 8000,
        "a:b:c",
        "٣",
        "study%0A",
    ],
)
def test_a_name_no_study_has_is_not_found(shared: Http, name: str) -> None:
    for method, suffix in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ":pause"),
        ("POST", ":resume"),
        ("GET", "/trials"),
        ("GET", "/trials/0"),
        ("GET", "/epochs"),
        ("GET", "/best-trials"),
    ):
        answer = shared.send(method, f"/v1/studies/{name}{suffix}")
        refused(answer, 404, 405)
    assert shared.get(f"/studies/{name}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/studies/x", {"GET", "HEAD", "DELETE", "PATCH"}),
        ("PUT", "/v1/studies", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/studies/x:explode", {"GET", "HEAD", "DELETE", "PATCH"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
        ("BREW", "/v1/schema", {"GET", "HEAD"}),
        ("POST", "/dashboard/", {"GET", "HEAD"}),
        ("OPTIONS", "/", {"GET", "HEAD"}),
        ("GET", "/v1/studies:validate", {"POST"}),
    ],
)
def test_a_method_an_address_does_not_know_is_refused_with_those_it_knows(
    lite: Http, method: str, path: str, allowed: set[str]
) -> None:
    answer = lite.send(method, path)
    assert refused(answer, 405)["type"] == "/problems/method-not-allowed"
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/v2", "/v1", "/v1/", "/v1/studies/", "/%00", "/x" * 4000])
def test_an_unknown_address_is_a_problem(lite: Http, path: str) -> None:
    refused(lite.get(path), 404)


def test_head_is_answered_like_get(lite: Http) -> None:
    answer = lite.send("HEAD", "/v1/studies")
    assert answer.status_code == 200
    assert lite.send("HEAD", "/v1/studies/nobody").status_code == 404


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = ("name", "dataset", "model", "optimizer", "training", "objectives", "limits", "tags")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(section=st.sampled_from(SECTIONS), value=JSON_VALUES)
def test_whatever_stands_in_a_section_is_accepted_or_refused(
    lite: Http, section: str, value: Any
) -> None:
    body = json.dumps({**document(), section: value}, allow_nan=False)
    answer = lite.post("/v1/studies:validate", content=body, headers=JSON)
    if answer.status_code != 200:
        refused(answer, 400, 422)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=200), is_yaml=st.booleans())
def test_whatever_bytes_come_are_refused(lite: Http, raw: bytes, is_yaml: bool) -> None:
    answer = lite.post("/v1/studies:validate", content=raw, headers=YAML if is_yaml else JSON)
    refused(answer, 400, 422)
