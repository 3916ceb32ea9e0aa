"""Constants, ranges and choices: what is accepted, and what is said of the rest."""

from typing import Any

import pytest

from hpsearch.spec.space import CategoricalDomain, Domain, FloatDomain, IntDomain
from tests.unit.spec.sample_catalog import Errors, Parse


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("{low: 1e-4, high: 1, log: true}", FloatDomain(1e-4, 1.0, log=True)),
        ("{low: 1, high: 2}", FloatDomain(1.0, 2.0)),
        ("{low: 0.1, high: 0.5, step: 0.1}", FloatDomain(0.1, 0.5, step=0.1)),
        ("{low: 1, high: 2, log: false, per_layer: false}", FloatDomain(1.0, 2.0)),
        ("{choices: [1, 0.5]}", CategoricalDomain((1.0, 0.5))),
    ],
)
def test_a_float_field_takes_ranges_and_choices(
    parse: Parse, written: str, domain: Domain
) -> None:
    definition = parse(f"optimizer: {{name: sgd, learning_rate: {written}}}")
    assert definition.space.domains == {"optimizer.learning_rate": domain}
    assert repr(definition.space.domains["optimizer.learning_rate"]) == repr(domain)


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("{low: 16, high: 256, log: true}", IntDomain(16, 256, log=True)),
        ("{low: 16, high: 64, step: 16}", IntDomain(16, 64, step=16)),
        ("{choices: [32, 64]}", CategoricalDomain((32, 64))),
    ],
)
def test_a_whole_number_field_takes_ranges_and_choices(
    parse: Parse, written: str, domain: Domain
) -> None:
    definition = parse(f"training: {{batch_size: {written}}}")
    assert definition.space.domains == {"training.batch_size": domain}


def test_choices_of_flags_and_null_are_kept_as_they_are(parse: Parse) -> None:
    definition = parse(
        "optimizer: {name: sgd, nesterov: {choices: [true, false]}, clip: {choices: [null, 1]}}"
    )
    assert definition.space.domains["optimizer.nesterov"].choices == (True, False)
    assert definition.space.domains["optimizer.clip"].choices == (None, 1.0)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0", "must be a number above 0 and at most 1,000, got 0"),
        ("true", "must be a number above 0 and at most 1,000, got true"),
        ("'0.1'", 'got "0.1"; write the number without quotes'),
        ("null", "got null"),
        ("[0.1, 0.2]", "to try several values write {choices: [...]}"),
        ("fast", 'got "fast"'),
    ],
)
def test_a_wrong_constant_is_named_with_what_was_expected(
    errors: Errors, written: str, message: str
) -> None:
    assert (
        message
        in errors(f"optimizer: {{name: sgd, learning_rate: {written}}}")["optimizer.learning_rate"]
    )


@pytest.mark.parametrize("written", ["1.5", "2.0", "true", "'3'", "0", "100001"])
def test_a_whole_number_field_takes_no_fraction_flag_or_text(errors: Errors, written: str) -> None:
    messages = errors(f"training: {{epochs: {written}}}")
    assert "must be a whole number from 1 to 100,000" in messages["training.epochs"]


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("{low: 1, high: 1}", "", "low must be below high; for a constant write 1"),
        ("{low: 2, high: 1}", "", "low must be below high, got low 2 and high 1"),
        ("{low: 0, high: 1}", ".low", "above 0"),
        ("{low: 1, high: 2000}", ".high", "at most 1,000, got 2000"),
        ("{low: true, high: 2}", ".low", "must be a number, got true"),
        ("{low: '1', high: 2}", ".low", 'must be a number, got "1"'),
        ("{low: null, high: 2}", ".low", "must be a number, got null"),
        ("{low: 1}", ".high", "is required: a range has low and high"),
        ("{high: 1}", ".low", "is required"),
        ("{low: 1, high: 2, log: 1}", ".log", "must be true or false, got 1"),
        ("{low: 1, high: 2, log: true, step: 1}", ".step", "cannot go with log: true"),
        ("{low: 1, high: 2, step: 0}", ".step", "above 0"),
        ("{low: 1, high: 2, step: -1}", ".step", "above 0"),
        ("{low: 1, high: 2, step: null}", ".step", "above 0"),
        ("{low: 1, high: 2, step: 0.3}", ".step", "must divide high - low = 1; high could be 1.9"),
        ("{low: 1, high: 2, step: 3}", ".step", "must divide high - low = 1, got 3"),
        ("{low: 1, high: 2, step: 1e-300}", ".step", "too small"),
        ("{low: 1, high: 2, steps: 1}", ".steps", "unknown field; did you mean step?"),
        ("{low: 1, high: 2, choices: [1]}", ".low", "cannot go with choices"),
        ("{low: 1, high: 2, per_layer: true}", ".per_layer", "one value for all layers"),
        ("{low: 1, high: 2, per_layer: 1}", ".per_layer", "true or false"),
        ("{}", "", "a range {low, high} or {choices: [...]}, got {}"),
        ("{value: 3}", "", "a range {low, high} or {choices: [...]}"),
        ("{choices: []}", ".choices", "at least one value"),
        ("{choices: 1}", ".choices", "at least one value"),
        ("{choices: [1, 2, 1.0]}", ".choices.2", "must be distinct; 1.0 is also choice 0"),
        ("{choices: [1, 0]}", ".choices.1", "above 0"),
        ("{choices: [1, true]}", ".choices.1", "got true"),
        ("{choices: [1, [2]]}", ".choices.1", "got [2]"),
        ("{choices: [1, {low: 1, high: 2}]}", ".choices.1", "got {"),
    ],
)
def test_a_wrong_range_is_named_at_the_wrong_place(
    errors: Errors, written: str, place: str, message: str
) -> None:
    messages = errors(f"optimizer: {{name: sgd, learning_rate: {written}}}")
    assert message in messages[f"optimizer.learning_rate{place}"]


def test_ranges_as_other_libraries_write_them_are_understood_and_corrected(errors: Errors) -> None:
    messages = errors("optimizer: {name: sgd, learning_rate: {min: 1, max: 2}}")
    assert messages["optimizer.learning_rate.min"] == "unknown field; did you mean low?"
    assert messages["optimizer.learning_rate.max"] == "unknown field; did you mean high?"


def test_log_needs_a_positive_low(errors: Errors) -> None:
    messages = errors("optimizer: {name: sgd, l2: {low: 0, high: 1, log: true}}")
    assert messages == {"optimizer.l2.low": "must be above 0 when log is true, got 0"}


def test_whole_number_ranges_take_whole_steps_and_ends(errors: Errors) -> None:
    messages = errors("training: {epochs: {low: 1.5, high: 10, step: 0.5}}")
    assert set(messages) == {"training.epochs.low", "training.epochs.step"}


def test_names_and_flags_take_no_range_but_choices(errors: Errors) -> None:
    messages = errors("model: {family: mlp, activation: {low: 1, high: 2}}")
    assert messages["model.activation"] == (
        'takes no range; list the values, {choices: ["relu", "tanh", "gelu"]}'
    )
    messages = errors("optimizer: {name: sgd, nesterov: {low: 0, high: 1}}")
    assert "{choices: [true, false]}" in messages["optimizer.nesterov"]


def test_a_misspelt_option_is_corrected(errors: Errors) -> None:
    messages = errors("model: {family: mlp, activation: relo}")
    assert messages["model.activation"] == (
        'must be one of relu, tanh, gelu, got "relo"; did you mean relu?'
    )


def test_at_most_a_thousand_choices_are_taken(parse: Parse, errors: Errors) -> None:
    thousand = ", ".join(str(width) for width in range(1, 1001))
    parse(f"training: {{batch_size: {{choices: [{thousand}]}}}}")
    many = ", ".join(str(width) for width in range(1, 10_001))
    messages = errors(f"training: {{batch_size: {{choices: [{many}]}}}}")
    assert messages == {
        "training.batch_size.choices": "must have at most 1,000 choices, got 10,000"
    }


@pytest.mark.parametrize("written", ["{low: 1, high: 2}", "{choices: [a, b]}"])
def test_a_field_that_is_the_same_for_every_trial_cannot_be_searched(
    errors: Errors, written: str
) -> None:
    messages = errors(f"training: {{data_order: {written}}}")
    assert messages["training.data_order"] == (
        "cannot be searched: it is the same for every trial; write one of shared, per_trial"
    )


def test_lists_can_be_choices_of_a_field_that_takes_lists() -> None:
    from typing import Annotated

    from hpsearch.spec.fields import Searchable, Settings
    from hpsearch.spec.kinds import fields_of
    from hpsearch.spec.problems import Problems
    from hpsearch.spec.values import ValueReader

    class Rule(Settings):
        betas: Annotated[tuple[float, float], Searchable()] = (0.9, 0.999)

    problems = Problems()
    reader = ValueReader(fields_of(Rule)["betas"], problems)
    parameter: Any = reader.read({"choices": [[0.9, 1], [0.5, 0.5]]}, ("betas",), "betas")
    problems.raise_if_any()
    assert parameter.domain.choices == ("[0.9,1.0]", "[0.5,0.5]")
    assert parameter.read(lambda _name, _domain: "[0.5,0.5]") == [0.5, 0.5]
