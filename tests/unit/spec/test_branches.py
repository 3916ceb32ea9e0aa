"""Conditional spaces: branches, what they share, and the names of their parameters."""

import pytest

from hpsearch.spec.catalog import Catalog
from hpsearch.spec.space import CategoricalDomain, FloatDomain
from tests.unit.spec.sample_catalog import Errors, Parse

TWO_OPTIMIZERS = """
optimizer:
  l2: {low: 0.0, high: 1.0}
  choices:
  - {name: sgd, learning_rate: {low: 0.01, high: 1}}
  - {name: adam, label: gentle, learning_rate: {low: 0.001, high: 0.1}}
"""


def test_parameters_are_named_by_branch_and_shared_ones_without(parse: Parse) -> None:
    assert parse(TWO_OPTIMIZERS).space.domains == {
        "optimizer": CategoricalDomain(("sgd", "gentle")),
        "optimizer.l2": FloatDomain(0.0, 1.0),
        "optimizer.sgd.learning_rate": FloatDomain(0.01, 1.0),
        "optimizer.gentle.learning_rate": FloatDomain(0.001, 0.1),
    }


def test_only_parameters_of_the_drawn_branch_are_asked_for(parse: Parse) -> None:
    space = parse(TWO_OPTIMIZERS).space
    params = space.suggest(lambda name, domain: "gentle" if name == "optimizer" else domain.low)
    assert set(params) == {"optimizer", "optimizer.l2", "optimizer.gentle.learning_rate"}
    optimizer = space.resolve(params).optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.l2) == ("adam", 0.001, 0.0)
    assert space.is_conditional


def test_defaults_are_filled_into_the_branches_and_common_fields_stay_beside_them(
    parse: Parse,
) -> None:
    assert parse(TWO_OPTIMIZERS).document["optimizer"] == {
        "l2": {"low": 0.0, "high": 1.0},
        "choices": [
            {
                "name": "sgd",
                "learning_rate": {"low": 0.01, "high": 1},
                "momentum": 0.0,
                "nesterov": False,
                "clip": None,
            },
            {
                "name": "adam",
                "label": "gentle",
                "learning_rate": {"low": 0.001, "high": 0.1},
                "beta1": 0.9,
                "note": "",
            },
        ],
    }


def test_a_common_field_may_be_per_layer_in_one_branch_and_single_in_another(parse: Parse) -> None:
    definition = parse(
        """
        model:
          noise: {low: 0.0, high: 0.5, per_layer: false}
          choices:
          - {family: mlp, hidden_layers: {low: 1, high: 2}}
          - {family: loop, label: gated, cell: gated}
          - {family: loop, label: plain, cell: {choices: [plain]}}
        """
    )
    assert list(definition.space.domains) == [
        "model",
        "model.mlp.hidden_layers",
        "model.noise",
        "model.plain.cell",
    ]
    params = {"model": "gated", "model.noise": 0.25}
    assert definition.space.resolve(params).model.noise == 0.25
    params = {"model": "mlp", "model.mlp.hidden_layers": 2, "model.noise": 0.25}
    assert definition.space.resolve(params).model.noise == (0.25, 0.25)


def test_branches_without_parameters_of_their_own_are_no_conditional_space(parse: Parse) -> None:
    space = parse("optimizer: {choices: [{name: sgd}, {name: adam}]}").space
    assert not space.is_conditional
    assert space.size() == 2


def test_sizes_of_branches_add_up(parse: Parse) -> None:
    space = parse(
        "optimizer: {choices: [{name: sgd, nesterov: {choices: [true, false]}}, {name: adam}]}"
    ).space
    assert space.size() == 3


@pytest.mark.parametrize(
    ("optimizer", "place", "message"),
    [
        ("sgd", "", 'must be an object such as {name: sgd}, got "sgd"'),
        ("3", "", "must be an object such as {name: adam}, got 3"),
        ("[{name: sgd}]", "", "must be an object such as"),
        ("{}", ".name", "is required: adam or sgd"),
        ("{name: null}", ".name", "must be adam or sgd, got null"),
        ("{name: sdg}", ".name", "there is no optimizer 'sdg'; did you mean sgd?"),
        (
            "{name: {choices: [sgd, adam]}}",
            ".name",
            "takes no choices itself; write optimizer: {choices: [{name: sgd, ...}, "
            "{name: adam, ...}]}",
        ),
        ("{name: [sgd, adam]}", ".name", "takes no choices itself; write optimizer: {choices:"),
        ("{name: sgd, label: a}", ".label", "belongs into a branch, inside choices"),
        ("{choices: []}", ".choices", "at least one branch"),
        ("{choices: {name: sgd}}", ".choices", "must be a list of at least one branch"),
        (
            "{choices: [sgd, adam]}",
            ".choices.0",
            'must be an object such as {name: sgd}, got "sgd"',
        ),
        ("{choices: [{name: sgd}], name: sgd}", ".name", "belongs into the branches"),
        ("{choices: [{name: sgd}], label: sgd}", ".label", "belongs into the branches"),
        ("{choices: [{learning_rate: 1}]}", ".choices.0.name", "is required: adam or sgd"),
        (
            "{choices: [{name: sgd}, {name: sgd}]}",
            ".choices.1",
            "two branches are called sgd; give each a label, label: sgd_2",
        ),
        (
            "{choices: [{name: sgd}, {name: adam, label: sgd}]}",
            ".choices.1.label",
            "two branches are called sgd",
        ),
        ("{choices: [{name: sgd, label: A-b}]}", ".choices.0.label", "1 to 32 of a-z, 0-9 and _"),
        ("{choices: [{name: sgd, label: 3}]}", ".choices.0.label", "got 3"),
        (
            "{l2: 1, choices: [{name: sgd, l2: 2}]}",
            ".choices.0.l2",
            "is set beside choices already",
        ),
        (
            "{momentum: 0.5, choices: [{name: sgd}, {name: adam}]}",
            ".momentum",
            "unknown field; momentum belongs to optimizer sgd",
        ),
        (
            "{choices: [{name: sgd, choices: [{name: sgd}]}]}",
            ".choices.0.choices",
            "a branch has no branches of its own",
        ),
        (
            "{choices: [{name: sgd, learning_rate: {low: 2, high: 1}}]}",
            ".choices.0.learning_rate",
            "low must be below high",
        ),
    ],
)
def test_a_wrong_branch_is_named_at_its_place(
    errors: Errors, optimizer: str, place: str, message: str
) -> None:
    assert message in errors(f"optimizer: {optimizer}")[f"optimizer{place}"]


def test_a_mistake_in_a_common_field_is_told_once(errors: Errors) -> None:
    messages = errors("optimizer: {l2: -1, choices: [{name: sgd}, {name: adam}]}")
    assert messages == {"optimizer.l2": "must be a number from 0 to 1,000, got -1"}


def test_a_misspelt_plugin_still_has_its_fields_checked(errors: Errors) -> None:
    messages = errors("optimizer: {name: sdg, learning_rate: 0, momentun: 0.9}")
    assert set(messages) == {"optimizer.name", "optimizer.learning_rate", "optimizer.momentun"}


def test_fields_are_checked_even_where_no_plugin_is_named(errors: Errors) -> None:
    messages = errors("optimizer: {name: [sgd, adam], momentum: 2, learning_rate: 0}")
    assert set(messages) == {"optimizer.name", "optimizer.momentum", "optimizer.learning_rate"}


def test_a_common_range_that_means_two_things_is_refused(catalog: Catalog) -> None:
    from dataclasses import replace
    from typing import Annotated

    from hpsearch.errors import InvalidDefinition
    from hpsearch.spec.definition import parse_definition
    from hpsearch.spec.fields import Searchable, Settings

    class Whole(Settings):
        strength: Annotated[int, Searchable()] = 1

    class Real(Settings):
        strength: Annotated[float, Searchable()] = 1.0

    rules = replace(catalog, optimizers={"real": Real, "whole": Whole})
    document = {
        "name": "test",
        "dataset": {"name": "digits"},
        "model": {"family": "mlp"},
        "optimizer": {
            "strength": {"low": 1, "high": 3},
            "choices": [{"name": "whole"}, {"name": "real"}],
        },
        "limits": {"max_trials": 1},
    }
    with pytest.raises(InvalidDefinition, match="means something else in branch real") as caught:
        parse_definition(document, rules)
    assert caught.value.errors[0].loc == ("optimizer", "strength")
