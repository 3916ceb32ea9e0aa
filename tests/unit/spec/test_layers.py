"""Fields with one value per layer, and the depth they follow."""

from typing import Any

import pytest

from hpsearch.spec.definition import Definition
from hpsearch.spec.space import CategoricalDomain, IntDomain
from tests.unit.spec.sample_catalog import Errors, Parse


def point(definition: Definition) -> Any:
    """Return the trial of the point whose parameters take their first value."""
    params = definition.space.suggest(
        lambda _name, domain: domain.choices[0] if hasattr(domain, "choices") else domain.low
    )
    return definition.space.resolve(params)


def test_a_constant_holds_for_every_layer(parse: Parse) -> None:
    definition = parse("model: {family: mlp, hidden_layers: 3, hidden_units: 64}")
    assert definition.space.is_empty
    assert point(definition).model.hidden_units == (64, 64, 64)


def test_the_default_holds_for_every_layer(parse: Parse) -> None:
    definition = parse("model: {family: mlp, hidden_layers: 2}")
    assert point(definition).model.hidden_units == (128, 128)
    assert definition.document["model"]["hidden_units"] == 128


def test_a_range_is_drawn_anew_for_each_layer_of_the_drawn_depth(parse: Parse) -> None:
    definition = parse(
        "model: {family: mlp, hidden_layers: {low: 0, high: 3}, hidden_units: {low: 8, high: 16}}"
    )
    layers = [f"model.hidden_units[{layer}]" for layer in range(3)]
    assert list(definition.space.domains) == ["model.hidden_layers", *layers]
    for depth in range(4):
        params = definition.space.suggest(
            lambda name, domain, depth=depth: depth if "layers" in name else domain.low
        )
        assert list(params) == ["model.hidden_layers", *layers[:depth]]
        assert definition.space.resolve(params).model.hidden_units == (8,) * depth
    assert definition.space.is_conditional
    assert definition.space.size() == 1 + 9 + 9**2 + 9**3


def test_per_layer_false_draws_once_for_all_layers(parse: Parse) -> None:
    definition = parse(
        """
        model:
          family: mlp
          hidden_layers: {low: 1, high: 3}
          hidden_units: {choices: [8, 16], per_layer: false}
        """
    )
    assert definition.space.domains["model.hidden_units"] == CategoricalDomain((8, 16))
    params = {"model.hidden_layers": 3, "model.hidden_units": 16}
    assert definition.space.resolve(params).model.hidden_units == (16, 16, 16)
    assert not definition.space.is_conditional
    assert definition.space.size() == 6


def test_a_list_has_a_constant_range_or_choices_for_each_layer(parse: Parse) -> None:
    definition = parse(
        "model: {family: mlp, hidden_units: [{low: 8, high: 16}, 32, {choices: [4, 2]}]}"
    )
    assert definition.document["model"]["hidden_layers"] == 3
    assert definition.space.domains == {
        "model.hidden_units[0]": IntDomain(8, 16),
        "model.hidden_units[2]": CategoricalDomain((4, 2)),
    }
    assert point(definition).model.hidden_units == (8, 32, 4)


def test_shallower_trials_take_the_first_entries_of_a_list(parse: Parse) -> None:
    definition = parse(
        "model: {family: mlp, hidden_layers: {low: 1, high: 2}, hidden_units: [50, 30, 10]}"
    )
    params = {"model.hidden_layers": 2}
    assert definition.space.resolve(params).model.hidden_units == (50, 30)
    assert definition.space.size() == 2


def test_an_empty_list_is_a_network_without_hidden_layers(parse: Parse) -> None:
    definition = parse("model: {family: mlp, hidden_units: []}")
    assert definition.document["model"]["hidden_layers"] == 0
    assert point(definition).model.hidden_units == ()


def test_choices_of_lists_are_whole_architectures_drawn_once(parse: Parse) -> None:
    definition = parse(
        """
        model:
          family: mlp
          hidden_units: {choices: [[], [64], [500, 300]]}
          noise: {low: 0.0, high: 0.5}
        """
    )
    assert definition.space.domains["model.hidden_units"].choices == ("[]", "[64]", "[500,300]")
    assert "hidden_layers" not in definition.document["model"]
    model = definition.space.resolve(
        {"model.hidden_units": "[500,300]", "model.noise[0]": 0.1, "model.noise[1]": 0.2}
    ).model
    assert (model.hidden_layers, model.hidden_units, model.noise) == (2, (500, 300), (0.1, 0.2))
    assert definition.space.is_conditional
    assert definition.space.size() is None


def test_architectures_count_as_points_with_what_depends_on_them(parse: Parse) -> None:
    definition = parse(
        """
        model:
          family: mlp
          hidden_units: {choices: [[], [64], [32, 32]]}
          noise: {choices: [0.0, 0.1]}
        """
    )
    assert definition.space.size() == 1 + 2 + 4


@pytest.mark.parametrize(
    ("model", "place", "message"),
    [
        ("hidden_units: 0", "hidden_units", "a whole number from 1 to 65,536, got 0"),
        ("hidden_units: [8, 0]", "hidden_units.1", "a whole number from 1 to 65,536, got 0"),
        ("hidden_units: [8, {low: 9, high: 8}]", "hidden_units.1", "low must be below high"),
        ("hidden_units: [8, [9]]", "hidden_units.1", "got [9]"),
        ("hidden_units: [8, null]", "hidden_units.1", "got null"),
        (
            "hidden_units: [{low: 8, high: 9, per_layer: false}]",
            "hidden_units.0.per_layer",
            "has no place in a list",
        ),
        (
            "hidden_layers: {low: 1, high: 3}, hidden_units: [8, 9]",
            "hidden_units",
            "must have an entry for each of up to 3 layers, got 2",
        ),
        (
            "hidden_layers: {choices: [1, 4]}, hidden_units: [8, 9]",
            "hidden_units",
            "each of up to 4 layers, got 2",
        ),
        (
            "hidden_units: [8, 9], noise: [0.1]",
            "noise",
            "must have 2 entries, one per layer as hidden_units, got 1; or give hidden_layers",
        ),
        (
            f"hidden_units: [{'8, ' * 33}]",
            "hidden_units",
            "has 33 layers, but hidden_layers must be a whole number from 0 to 32, got 33",
        ),
        ("hidden_layers: 33", "hidden_layers", "a whole number from 0 to 32, got 33"),
        (
            "hidden_layers: 2, hidden_units: {choices: [[8], [8, 8]]}",
            "hidden_layers",
            "must be left out: each choice of hidden_units has its own depth",
        ),
        (
            "hidden_units: {choices: [[8], 9]}",
            "hidden_units.choices.1",
            "must be a list like the other choices, one entry per layer, got 9",
        ),
        ("hidden_units: {choices: [[8], [0]]}", "hidden_units.choices.1.0", "got 0"),
        ("hidden_units: {choices: [[8], [8]]}", "hidden_units.choices.1", "distinct"),
        (
            "hidden_units: {choices: [[8], [9]], per_layer: true}",
            "hidden_units.per_layer",
            "drawn as a whole",
        ),
        (
            "hidden_units: {choices: [[8], [{low: 1, high: 2}]]}",
            "hidden_units.choices.1.0",
            "got {",
        ),
        (
            "hidden_units: {choices: [[8], [9, 9]]}, noise: {choices: [[0.1], [0.2]]}",
            "noise",
            "only one field may list whole architectures",
        ),
        (
            "hidden_units: {choices: [[8], [9, 9]]}, noise: [0.1]",
            "noise",
            "each of up to 2 layers, got 1",
        ),
    ],
)
def test_a_wrong_layer_is_named_at_its_place(
    errors: Errors, model: str, place: str, message: str
) -> None:
    messages = errors(f"model: {{family: mlp, {model}}}")
    assert message in messages[f"model.{place}"]


def test_per_layer_must_be_a_flag(errors: Errors) -> None:
    messages = errors("model: {family: mlp, hidden_units: {low: 1, high: 2, per_layer: no}}")
    assert messages["model.hidden_units.per_layer"] == 'must be true or false, got "no"'
