"""The OpenAPI description, the schema and the page made of it."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from hpsearch.api.examples import BRANCHES, CLASSIC, SEEDS
from tests.services.in_process import Http

CALLS = {
    ("post", "/v1/studies"),
    ("post", "/v1/studies:validate"),
    ("get", "/v1/studies"),
    ("get", "/v1/studies/{name}"),
    ("patch", "/v1/studies/{name}"),
    ("delete", "/v1/studies/{name}"),
    ("post", "/v1/studies/{name}:pause"),
    ("post", "/v1/studies/{name}:resume"),
    ("post", "/v1/studies/{name}:stop"),
    ("post", "/v1/studies/{name}:cancel"),
    ("get", "/v1/studies/{name}/trials"),
    ("post", "/v1/studies/{name}/trials"),
    ("get", "/v1/studies/{name}/trials/{number}"),
    ("post", "/v1/studies/{name}/trials/{number}:stop"),
    ("post", "/v1/studies/{name}/trials/{number}:retry"),
    ("get", "/v1/studies/{name}/trials/{number}/epochs"),
    ("get", "/v1/studies/{name}/trials/{number}/model"),
    ("get", "/v1/studies/{name}/epochs"),
    ("get", "/v1/studies/{name}/best-trials"),
    ("get", "/v1/studies/{name}/importance"),
    ("get", "/v1/studies/{name}/trials.csv"),
    ("get", "/v1/studies/{name}/report.html"),
    ("get", "/v1/studies/{name}/plots/{kind}"),
    ("get", "/v1/studies/{name}/events"),
    ("get", "/v1/events"),
    ("get", "/v1/datasets"),
    ("get", "/v1/datasets/{name}"),
    ("put", "/v1/datasets/{name}"),
    ("delete", "/v1/datasets/{name}"),
    ("get", "/v1/schema"),
    ("get", "/v1/workers"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


def references(value: Any) -> Iterator[str]:
    """Yield every ``$ref`` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_call_of_the_contract_is_described(lite: Http) -> None:
    document = lite.get("/openapi.json").json()
    found = {(method, path) for path, item in document["paths"].items() for method in item}
    assert found >= CALLS
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["description"], path
            assert operation["tags"], path
            assert "default" in operation["responses"], path
            assert bool(operation.get("security")) is (path not in {"/healthz", "/readyz"}), path


def test_every_reference_leads_somewhere(lite: Http) -> None:
    document = lite.get("/openapi.json").json()
    found = set(references(document["components"])) | set(references(document["paths"]))
    assert found
    for reference in found:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    assert "HTTPValidationError" not in json.dumps(document)


@pytest.mark.parametrize("example", [BRANCHES, SEEDS])
def test_the_examples_are_definitions_that_work(lite: Http, example: dict[str, Any]) -> None:
    answer = lite.post("/v1/studies:validate", json=example)
    assert answer.status_code == 200, answer.text
    jsonschema.validate(example, lite.get("/v1/schema").json())


def test_the_classic_example_works_as_yaml(lite: Http) -> None:
    headers = {"content-type": "application/yaml"}
    answer = lite.post("/v1/studies:validate", content=CLASSIC, headers=headers)
    assert answer.status_code == 200, answer.text


def test_the_docs_show_every_call_and_load_nothing_from_elsewhere(lite: Http) -> None:
    page = lite.get("/docs").text
    for _method, path in CALLS:
        assert f"<code>{path}</code>" in page
    assert "hidden_layers" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
