"""Whatever comes in, one kind of error comes out, and it can be sent as JSON."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.space import CategoricalDomain, Domain, IntDomain, ParameterValue
from tests.unit.spec.sample_catalog import yaml_value

TEMPLATES = [
    """
    name: one
    dataset: {name: digits, validation_fraction: 0.2}
    model: {family: mlp, hidden_layers: {low: 0, high: 3}, hidden_units: {choices: [128, 256]}}
    optimizer: {name: sgd, learning_rate: {low: 1e-6, high: 1, log: true}, momentum: 0.9}
    training: {epochs: 20, early_stopping: {metric: val_loss, patience: 1}}
    objectives: [{metric: val_accuracy, target_value: 0.9}]
    limits: {max_trials: 10}
    """,
    """
    name: two
    dataset: {name: mnist}
    model:
      noise: {low: 0.0, high: 0.5, per_layer: false}
      choices:
      - {family: mlp, hidden_units: [{low: 8, high: 64, step: 8}, 32]}
      - {family: mlp, label: wide, hidden_units: {choices: [[128], [64, 64]]}}
      - {family: loop, cell: {choices: [plain, gated]}, hidden_units: {low: 1, high: 9}}
    optimizer:
      l2: {choices: [0, 1e-5]}
      choices:
      - {name: sgd, nesterov: {choices: [true, false]}, clip: {choices: [null, 1.0]}}
      - {name: adam, beta1: {low: 0.5, high: 0.9, step: 0.1}}
    sampler: {name: random}
    pruner: {name: threshold, lower: 0.1}
    limits: {timeout_s: 7200}
    """,
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, 0, 1, -1, 1000])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\0", "mlp", "sgd", "val_loss", "digits", "x" * 500])
)
words = st.text(max_size=5) | st.sampled_from(
    [
        *("choices", "low", "high", "step", "log", "per_layer", "name", "family", "label"),
        *("model", "hidden_units", "hidden_layers", "optimizer", "learning_rate", "limits"),
    ]
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, loc: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield loc
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*loc, index))


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Draw a valid definition with one to three places replaced, dropped or added to."""
    document = yaml_value(draw(st.sampled_from(TEMPLATES)))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(
            st.sampled_from([loc for loc in places(document) if loc] or [("name",)])
        )
        parent = document
        for key in path:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "drop", "add"]))
        if action == "replace":
            parent[last] = draw(json_values)
        elif action == "drop" and last in (parent if isinstance(parent, dict) else []):
            del parent[last]
        elif isinstance(parent, dict):
            parent[draw(words)] = draw(json_values)
    return document


def check_errors(error: InvalidDefinition) -> None:
    """Check that an answer with these errors can be sent."""
    assert error.errors
    json.dumps([[item.loc, item.msg, item.input] for item in error.errors], allow_nan=False)
    str(error).encode()


def check(document: Any, catalog: Catalog) -> Any:
    before = copy.deepcopy(document)
    try:
        definition = parse_definition(document, catalog)
    except InvalidDefinition as error:
        check_errors(error)
        return None
    assert repr(document) == repr(before)
    again = parse_definition(json.loads(json.dumps(definition.document)), catalog)
    assert json.dumps(again.document) == json.dumps(definition.document)
    assert again.space.domains == definition.space.domains
    return definition


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=json_values)
def test_any_value_is_parsed_or_refused(catalog: Catalog, document: Any) -> None:
    check(document, catalog)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=mutated(), data=st.data())
def test_any_change_of_a_definition_is_parsed_or_refused(
    catalog: Catalog, document: Any, data: st.DataObject
) -> None:
    definition = check(document, catalog)
    if definition is not None:
        suggest_and_resolve(definition, data)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_suggested_point_resolves(
    catalog: Catalog, template: str, data: st.DataObject
) -> None:
    definition = check(yaml_value(template), catalog)
    suggest_and_resolve(definition, data)


def suggest_and_resolve(definition: Definition, data: st.DataObject) -> None:
    seen: dict[str, Domain] = {}

    def draw(name: str, domain: Domain) -> ParameterValue:
        assert seen.setdefault(name, domain) == domain == definition.space.domains[name]
        if isinstance(domain, CategoricalDomain):
            return data.draw(st.sampled_from(domain.choices))
        if isinstance(domain, IntDomain):
            return domain.low + domain.step * data.draw(st.integers(0, domain.size - 1))
        if domain.step is not None and domain.size is not None:
            return min(
                domain.low + domain.step * data.draw(st.integers(0, domain.size - 1)), domain.high
            )
        return data.draw(st.floats(domain.low, domain.high))

    params = definition.space.suggest(draw)
    assert params.keys() == seen.keys()
    config = definition.space.resolve(json.loads(json.dumps(params)))
    json.dumps(config.document(), allow_nan=False)
    assert config.training.epochs <= definition.space.max_epochs


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "must be a finite number, got NaN"),
        (float("inf"), "must be a finite number, got Infinity"),
        (10**400, "must be a number of 64 bits, got a whole number of 401 digits"),
        (-(10**5000), "must be a number of 64 bits, got a whole number of 5001 digits"),
        ("a\0b", "must not contain the NUL character"),
        ("\ud800", "must be valid Unicode text; it holds half of a surrogate pair"),
        ({1, 2}, "must be a JSON value, got a set"),
        (b"1", "must be a JSON value, got a bytes"),
    ],
    ids=["nan", "inf", "huge", "huger", "nul", "surrogate", "set", "bytes"],
)
def test_values_no_database_could_keep_are_refused_once(
    catalog: Catalog, value: Any, message: str
) -> None:
    document = yaml_value(TEMPLATES[0])
    document["optimizer"]["learning_rate"] = {"low": value, "high": 1}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, catalog)
    assert [(error.loc, error.msg) for error in caught.value.errors] == [
        (("optimizer", "learning_rate", "low"), message)
    ]


@pytest.mark.parametrize("key", [1, None, True, ("a",), "a\0", "\ud800", "k" * 200])
def test_keys_that_are_no_field_names_are_refused_once(catalog: Catalog, key: Any) -> None:
    document = yaml_value(TEMPLATES[0])
    document["model"][key] = 1
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, catalog)
    assert len(caught.value.errors) == 1
    assert caught.value.errors[0].loc[0] == "model"
    json.dumps(caught.value.errors[0].loc).encode()


def test_deep_nesting_is_refused_at_its_place(catalog: Catalog) -> None:
    document = yaml_value(TEMPLATES[0])
    document["training"] = nested(900)
    with pytest.raises(InvalidDefinition, match="nested more than 20 levels"):
        parse_definition(document, catalog)


def test_shared_structure_that_unfolds_without_end_is_refused(catalog: Catalog) -> None:
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value] if len(str(value)) < 10_000 else value
    bomb = [[value] * 1000] * 1000
    with pytest.raises(InvalidDefinition, match="more than 50,000 values"):
        parse_definition({"name": bomb}, catalog)


def test_a_thousand_unknown_fields_are_answered_in_bounds(catalog: Catalog) -> None:
    document = {f"field_{number}": 1 for number in range(10_000)}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, catalog)
    assert len(caught.value.errors) == 501
    assert "more errors are not listed" in caught.value.errors[-1].msg


def test_a_long_input_is_shortened_in_the_error(catalog: Catalog) -> None:
    document = yaml_value(TEMPLATES[0])
    document["training"]["data_order"] = "x" * 10_000
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, catalog)
    assert len(caught.value.errors[0].msg) < 300
    assert len(caught.value.errors[0].input) <= 200


def test_the_grammar_loads_no_heavy_library() -> None:
    code = (
        "import sys, hpsearch.spec.definition, hpsearch.spec.schema\n"
        "heavy = {'torch', 'numpy', 'optuna', 'sqlalchemy', 'fastapi'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_catalog_refuses_everything_with_words() -> None:
    empty = Catalog(families={}, optimizers={}, samplers={}, pruners={}, datasets={})
    with pytest.raises(InvalidDefinition, match="there is no dataset"):
        parse_definition(yaml_value(TEMPLATES[0]), empty)
    with pytest.raises(InvalidDefinition, match="is required"):
        parse_definition({"model": {}, "optimizer": {"choices": [{}]}}, empty)
