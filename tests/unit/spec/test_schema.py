"""The JSON schema is valid, accepts what the parser accepts, and refuses plain mistakes."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.schema import json_schema
from tests.unit.spec.sample_catalog import BASE, Parse, yaml_value
from tests.unit.spec.test_hostile import TEMPLATES, mutated


@pytest.fixture(scope="session")
def validator(catalog: Catalog) -> Draft202012Validator:
    """A validator of the sample catalog's schema."""
    return Draft202012Validator(json_schema(catalog))


def test_the_schema_is_valid_and_says_which_version_it_is(catalog: Catalog) -> None:
    schema = json_schema(catalog)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("template", TEMPLATES)
def test_valid_definitions_and_their_full_documents_satisfy_it(
    validator: Draft202012Validator, catalog: Catalog, template: str
) -> None:
    raw = yaml_value(template)
    validator.validate(raw)
    validator.validate(parse_definition(raw, catalog).document)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=mutated())
def test_what_the_parser_accepts_satisfies_it(
    validator: Draft202012Validator, catalog: Catalog, document: Any
) -> None:
    try:
        definition = parse_definition(document, catalog)
    except InvalidDefinition:
        return
    validator.validate(document)
    validator.validate(definition.document)


@pytest.mark.parametrize(
    "section",
    [
        "nme: x",
        "dataset: {name: cifar}",
        "dataset: {name: digits, validation_fraction: 1}",
        "model: {family: mlp, hidden_unit: 3}",
        "model: {family: mlp, hidden_units: [{low: 1}]}",
        "model: {family: loop}",
        "model: {family: mlp, label: a}",
        "optimizer: {name: sgd, learning_rate: true}",
        "optimizer: {name: sgd, learning_rate: {low: 1, high: 2, choices: [1]}}",
        "optimizer: {choices: [sgd]}",
        "optimizer: {choices: [{name: sgd}], momentum: 2}",
        "training: {epochs: 1.5}",
        "training: {early_stopping: {metric: train_loss}}",
        "objectives: [{metric: test_loss}]",
        "sampler: {name: tpe, n_startup_trials: -1}",
        "limits: {max_trials: 0}",
    ],
)
def test_plain_mistakes_do_not_satisfy_it(
    validator: Draft202012Validator, parse: Parse, section: str
) -> None:
    assert validator.is_valid(BASE)
    assert not validator.is_valid({**BASE, **yaml_value(section)})
    with pytest.raises(InvalidDefinition):
        parse(section)


def test_a_section_that_has_a_default_plugin_need_not_name_it(
    validator: Draft202012Validator,
) -> None:
    validator.validate({**BASE, "sampler": {"n_startup_trials": 5}, "pruner": {}})
    assert not validator.is_valid({**BASE, "optimizer": {}})


def test_defaults_and_descriptions_are_there_for_forms(catalog: Catalog) -> None:
    properties = json_schema(catalog)["properties"]
    assert properties["training"]["properties"]["epochs"]["default"] == 20
    assert properties["dataset"]["properties"]["test_fraction"]["description"].startswith("of all")
