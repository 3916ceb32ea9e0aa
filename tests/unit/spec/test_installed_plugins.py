"""The grammar over the plugins that ship: the definitions of the contract, as they stand."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpsearch.catalog import installed_catalog
from hpsearch.errors import InvalidDefinition
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.schema import json_schema
from hpsearch.spec.sections import DatasetInfo, Task
from hpsearch.spec.space import ParameterValue
from tests.unit.spec.sample_catalog import yaml_value

RANDOM_SEARCH = """
name: mnist-random
dataset: {name: mnist, validation_fraction: 0.08333, normalize: none}
model: {family: mlp, hidden_layers: {low: 1, high: 2}, hidden_units: {choices: [128, 256]}, init: normal, init_scale: 1.0}
optimizer: {name: sgd, learning_rate: {low: 1e-6, high: 1, log: true}, momentum: {low: 0.5, high: 0.999, log: true}, l2: {low: 1e-4, high: 1, log: true}}
training: {epochs: 20, batch_size: 50, early_stopping: {metric: val_loss, patience: 1}}
objectives: [{metric: val_accuracy}]
sampler: {name: random}
limits: {max_trials: 10}
"""  # noqa: E501 - as written

ARCHITECTURES = """
name: mnist-small
dataset: {name: mnist}
model: {family: mlp, hidden_units: {choices: [[32], [64], [128], [64, 32], [500, 300]]}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 1e-2, log: true}}
training: {epochs: 20}
objectives: [{metric: val_accuracy}, {metric: n_parameters}]
limits: {max_trials: 120}
"""

REGRESSION = """
name: housing
dataset: {name: housing, test_fraction: 0.2, validation_fraction: 0.2, split_seed: 7}
model: {family: mlp, hidden_layers: {low: 0, high: 3}, hidden_units: {low: 8, high: 128, step: 8}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 3e-2, log: true}, l2: {low: 1e-6, high: 0.1, log: true}}
training: {epochs: {low: 50, high: 200, step: 50}, batch_size: {low: 16, high: 256, log: true}, early_stopping: {metric: val_rmse, patience: 15, min_delta: 0.5}}
objectives: [{metric: val_rmse, target_value: 40}]
limits: {max_trials: 100}
"""  # noqa: E501 - as written

NOISE = """
name: noise
dataset: {name: mnist}
model: {family: mlp, hidden_units: [500, 300]}
optimizer: {name: sgd, learning_rate: 2e-3, momentum: 0.98, l2: 1e-3}
training: {epochs: 20, batch_size: 100, data_order: per_trial}
sampler: {name: random}
limits: {max_trials: 10}
"""


def parsed(text: str) -> Definition:
    return parse_definition(yaml_value(text), installed_catalog())


@pytest.mark.parametrize("text", [RANDOM_SEARCH, ARCHITECTURES, NOISE])
def test_the_contracts_definitions_parse_and_their_documents_are_final(text: str) -> None:
    definition = parsed(text)
    again = parse_definition(definition.document, installed_catalog())
    assert json.dumps(again.document) == json.dumps(definition.document)
    validator = Draft202012Validator(json_schema(installed_catalog()))
    validator.validate(yaml_value(text))
    validator.validate(definition.document)


def test_the_random_search_has_the_parameters_the_contract_names() -> None:
    definition = parsed(RANDOM_SEARCH)
    assert set(definition.space.domains) == {
        "model.hidden_layers",
        "model.hidden_units[0]",
        "model.hidden_units[1]",
        "optimizer.learning_rate",
        "optimizer.momentum",
        "optimizer.l2",
    }
    assert definition.space.is_conditional
    assert definition.space.max_epochs == 20


def test_an_architecture_is_one_parameter() -> None:
    space = parsed(ARCHITECTURES).space
    model: Any = space.resolve(
        {"model.hidden_units": "[500,300]", "optimizer.learning_rate": 1e-3}
    ).model
    assert (model.hidden_layers, model.hidden_units) == (2, (500, 300))


def test_one_setting_is_an_empty_space() -> None:
    definition = parsed(NOISE)
    assert definition.space.is_empty
    config: Any = definition.space.resolve({})
    assert config.model.hidden_units == (500, 300)
    assert (config.optimizer.momentum, config.training.data_order) == (0.98, "per_trial")


@pytest.mark.parametrize("init", ["he", "{choices: [he, normal]}"])
def test_a_scale_without_meaning_is_refused_wherever_it_could_be_drawn(init: str) -> None:
    text = NOISE.replace("[500, 300]", f"[8], init: {init}, init_scale: 0.1")
    with pytest.raises(InvalidDefinition) as caught:
        parsed(text)
    assert [error.loc for error in caught.value.errors] == [("model", "init_scale")]


def test_a_regression_parses_once_its_data_set_exists() -> None:
    with pytest.raises(InvalidDefinition, match="there is no dataset 'housing'"):
        parsed(REGRESSION)
    housing = DatasetInfo(
        name="housing", task=Task.REGRESSION, input_shape=(8,), n_outputs=1, has_test_split=False
    )
    known = installed_catalog()
    catalog = replace(known, datasets={**known.datasets, "housing": housing})
    definition = parse_definition(yaml_value(REGRESSION), catalog)
    assert parse_definition(definition.document, catalog).document == definition.document
    assert (definition.goal_metric, definition.goal_direction) == ("val_rmse", "minimize")
    assert definition.space.max_epochs == 200


ROWS = """
name: rows-rnn
dataset: {name: mnist, train_fraction: 0.2}
model:
  dropout: {low: 0.0, high: 0.5, per_layer: false}      # beside choices: common to every branch
  choices:
  - {family: mlp, hidden_layers: {low: 1, high: 2}, hidden_units: {low: 64, high: 512, log: true}}
  - {family: recurrent, label: gated, cell: {choices: [gru, lstm]}, hidden_layers: {low: 1, high: 2}, hidden_units: {low: 64, high: 256, step: 64}}
  - {family: recurrent, label: plain, cell: vanilla, activation: {choices: [tanh, relu]}, hidden_units: 256, steps: {choices: [28, 56]}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 1e-2, log: true}, gradient_clip_norm: {choices: [null, 1.0, 5.0]}}
training: {epochs: 15, batch_size: 100, early_stopping: {patience: 3}}
pruner: {name: median, n_startup_trials: 5, n_warmup_steps: 3}
limits: {max_trials: 60, timeout_s: 7200}
"""  # noqa: E501 - as written

LAYERS = """
name: fashion-optimizers
dataset: {name: fashion_mnist}
model: {family: mlp, hidden_layers: {low: 1, high: 3}, hidden_units: {low: 64, high: 512, log: true}, batch_norm: {choices: [true, false]}, dropout: [{low: 0, high: 0.5}, {low: 0, high: 0.3}, 0.1]}
optimizer: {name: sgd}
limits: {max_trials: 200, max_concurrent_trials: 16}
"""  # noqa: E501 - its model as written


@pytest.mark.parametrize("text", [ROWS, LAYERS])
def test_recurrent_branches_and_dropout_parse_and_their_documents_are_final(text: str) -> None:
    definition = parsed(text)
    again = parse_definition(definition.document, installed_catalog())
    assert json.dumps(again.document) == json.dumps(definition.document)
    validator = Draft202012Validator(json_schema(installed_catalog()))
    validator.validate(yaml_value(text))
    validator.validate(definition.document)


def test_dropout_beside_branches_is_one_parameter_of_all_of_them() -> None:
    definition = parsed(ROWS)
    names = set(definition.space.domains)
    assert {"model.dropout", "model.gated.cell", "model.plain.steps"} <= names
    assert not any(name.startswith("model.dropout[") for name in names)
    point: dict[str, ParameterValue] = {
        "model": "gated",
        "model.dropout": 0.25,
        "model.gated.cell": "lstm",
        "model.gated.hidden_layers": 2,
        "model.gated.hidden_units": 64,
        "optimizer.learning_rate": 1e-3,
        "optimizer.gradient_clip_norm": None,
    }
    model: Any = definition.space.resolve(point).model
    assert (model.cell, model.dropout, model.steps) == ("lstm", 0.25, 28)


def test_steps_are_the_rows_of_a_picture_unless_they_are_given() -> None:
    choices = parsed(ROWS).document["model"]["choices"]
    assert "steps" not in choices[0]
    assert choices[1]["steps"] == 28
    assert choices[2]["steps"] == {"choices": [28, 56]}


def test_dropout_is_drawn_layer_by_layer() -> None:
    definition = parsed(LAYERS)
    point: dict[str, ParameterValue] = {
        "model.hidden_layers": 3,
        **{f"model.hidden_units[{layer}]": 64 for layer in range(3)},
        "model.batch_norm": True,
        "model.dropout[0]": 0.5,
        "model.dropout[1]": 0.25,
    }
    model: Any = definition.space.resolve(point).model
    assert (model.dropout, model.batch_norm) == ((0.5, 0.25, 0.1), True)


@pytest.mark.parametrize(
    ("model", "loc", "words"),
    [
        ("{family: recurrent, cell: gru, steps: 27}", "steps", "must divide the 784 inputs"),
        ("{family: recurrent, cell: gru, steps: {choices: [28, 27]}}", "steps", "16 and 28"),
        ("{family: recurrent, cell: gru, steps: 900}", "steps", "the nearest that does is 784"),
        ("{family: recurrent}", "cell", "is required"),
        ("{family: recurrent, cell: rnn}", "cell", "vanilla"),
        ("{family: recurrent, cell: gru, activation: relu}", "activation", "vanilla only"),
        ("{family: recurrent, cell: gru, activation: gelu}", "activation", "tanh"),
        ("{family: recurrent, cell: gru, batch_norm: true}", "batch_norm", "unknown"),
        ("{family: recurrent, cell: gru, hidden_layers: 0}", "hidden_layers", "from 1 to 8"),
        ("{family: recurrent, cell: gru, hidden_layers: 9}", "hidden_layers", "from 1 to 8"),
        ("{family: recurrent, cell: gru, dropout: 1.0}", "dropout", "below 1"),
        ("{family: recurrent, cell: gru, dropout: [0.1]}", "dropout", "number"),
        ("{family: mlp, cell: gru}", "cell", "unknown"),
        ("{family: mlp, hidden_units: [8], dropout: [0.1, 0.2]}", "dropout", "1 entries"),
    ],
)
def test_a_network_that_cannot_be_is_refused_where_it_is_written(
    model: str, loc: str, words: str
) -> None:
    document = {**yaml_value(NOISE), **yaml_value(f"model: {model}")}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, installed_catalog())
    assert [error.loc for error in caught.value.errors] == [("model", loc)]
    assert words in caught.value.errors[0].msg


def test_steps_that_do_not_fit_are_refused_in_their_branch() -> None:
    document = yaml_value(ROWS.replace("[28, 56]", "[28, 57]"))
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, installed_catalog())
    assert [error.loc for error in caught.value.errors] == [("model", "choices", 2, "steps")]


@pytest.mark.parametrize("steps", [{"low": 1, "high": 8}, {"low": 7, "high": 28, "step": 7}])
def test_steps_that_fit_at_the_ends_of_a_range_alone_are_refused(steps: Any) -> None:
    document = yaml_value(ROWS.replace("{choices: [28, 56]}", json.dumps(steps)))
    with pytest.raises(InvalidDefinition, match="must divide the 784 inputs") as caught:
        parse_definition(document, installed_catalog())
    assert [error.loc for error in caught.value.errors] == [("model", "choices", 2, "steps")]


def test_steps_that_fit_all_over_a_range_are_accepted() -> None:
    document = yaml_value(ROWS.replace("{choices: [28, 56]}", "{low: 7, high: 14, step: 7}"))
    assert parse_definition(document, installed_catalog())
