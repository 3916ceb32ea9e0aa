"""Combinations a plugin refuses are found at submission, wherever in the space they lie."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.fields import Searchable, Settings
from tests.unit.spec.sample_catalog import Errors, Parse


def test_a_setting_that_means_nothing_is_refused_where_it_stands(errors: Errors) -> None:
    assert errors("model: {family: mlp, init: he, init_scale: 0.1}") == {
        "model.init_scale": "init_scale is only for init normal or uniform"
    }
    assert errors("model: {family: mlp, init_scale: {low: 0.1, high: 1}}") == {
        "model.init_scale": "init_scale is only for init normal or uniform (here init_scale = 0.1)"
    }


def test_a_setting_that_means_nothing_at_some_points_is_refused_with_the_way_out(
    errors: Errors,
) -> None:
    messages = errors("model: {family: mlp, init: {choices: [normal, he]}, init_scale: 0.1}")
    assert messages == {
        "model.init_scale": "init_scale is only for init normal or uniform (here init = "
        '"he"); at other points it is fine: give each case a branch of its own, in choices'
    }


def test_the_way_out_works(parse: Parse) -> None:
    definition = parse(
        """
        model:
          choices:
          - {family: mlp, label: he, init: he}
          - {family: mlp, label: normal, init: normal, init_scale: 0.1}
        """
    )
    branches = definition.document["model"]["choices"]
    assert "init_scale" not in branches[0]
    assert branches[1]["init_scale"] == 0.1


def test_a_setting_that_means_something_everywhere_is_accepted(parse: Parse) -> None:
    parse("model: {family: mlp, init: {choices: [normal, uniform]}, init_scale: 0.1}")


def test_a_default_that_could_not_be_written_is_left_out_of_the_document(parse: Parse) -> None:
    assert "init_scale" not in parse("model: {family: mlp}").document["model"]
    searched = parse("model: {family: mlp, init: {choices: [normal, he]}}")
    assert "init_scale" not in searched.document["model"]
    assert parse("model: {family: mlp, init: normal}").document["model"]["init_scale"] == 0.05


def test_sections_without_a_search_space_are_checked_too(errors: Errors) -> None:
    assert errors("pruner: {name: threshold, lower: 2}") == {
        "pruner.lower": "lower must be below upper"
    }


class Picky(Settings):
    """A third party's optimizer with rules of its own."""

    name: Literal["picky"] = "picky"
    low: Annotated[float, Field(ge=0), Searchable()] = 0.0
    high: Annotated[float, Field(ge=0), Searchable()] = 1.0
    width: Annotated[int, Field(ge=1), Searchable()] = 8
    mode: Annotated[Literal["a", "b", "c", "d"], Searchable()] = "a"
    first: Annotated[bool, Searchable()] = False
    second: Annotated[bool, Searchable()] = False
    depth: Annotated[int, Field(ge=0, le=64), Searchable()] = 1
    rates: Annotated[tuple[float, ...], Searchable(per_layer="depth", default=0.1)] = (0.1,)

    @field_validator("width")
    @classmethod
    def _multiple_of_eight(cls, value: int) -> int:
        if value % 8:
            raise ValueError("must be a multiple of 8")
        return value

    @model_validator(mode="after")
    def _check(self) -> "Picky":
        if self.low >= self.high:
            raise ValueError("low must stay below high")
        if self.mode == "d" and self.first and self.second:
            raise ValueError("mode d cannot be both")
        return self


Picking = Callable[[dict[str, Any]], dict[str, str]]


@pytest.fixture(scope="module")
def picky(catalog: Catalog) -> Picking:
    rules = replace(catalog, optimizers={"picky": Picky})

    def parse(optimizer: dict[str, Any]) -> dict[str, str]:
        document = {
            "name": "test",
            "dataset": {"name": "digits"},
            "model": {"family": "mlp"},
            "optimizer": {"name": "picky", **optimizer},
            "limits": {"max_trials": 1},
        }
        try:
            parse_definition(document, rules)
        except InvalidDefinition as error:
            return {".".join(map(str, item.loc)): item.msg for item in error.errors}
        return {}

    return parse


def test_ranges_that_overlap_against_a_rule_are_refused(picky: Picking) -> None:
    assert picky({"low": {"low": 0, "high": 0.5}, "high": {"low": 0.6, "high": 2}}) == {}
    messages = picky({"low": {"low": 0, "high": 0.5}, "high": {"low": 0.4, "high": 2}})
    assert "low must stay below high" in messages["optimizer.low"]
    assert "at other points it is fine" in messages["optimizer.low"]


def test_a_rule_about_values_inside_a_range_is_found_by_its_first_step(picky: Picking) -> None:
    assert picky({"width": {"low": 8, "high": 128, "step": 8}}) == {}
    messages = picky({"width": {"low": 8, "high": 128}})
    assert messages["optimizer.width"].startswith("must be a multiple of 8")


def test_a_rule_about_three_fields_is_found_in_a_space_too_large_to_try_out(
    picky: Picking,
) -> None:
    flags = {"choices": [True, False]}
    optimizer = {
        "mode": {"choices": ["a", "b", "c", "d"]},
        "first": flags,
        "second": flags,
        "depth": 16,
        "rates": {"low": 0, "high": 1},
    }
    assert list(picky(optimizer).values()) != []
    assert picky({**optimizer, "mode": {"choices": ["a", "b", "c"]}}) == {}


def test_the_largest_space_is_tried_within_seconds(picky: Picking) -> None:
    choices = {"choices": [8 * width for width in range(1, 1001)]}
    optimizer = {"width": choices, "depth": {"low": 0, "high": 64}, "rates": choices}
    start = time.process_time()
    assert picky(optimizer) == {}
    assert time.process_time() - start < 5.0
