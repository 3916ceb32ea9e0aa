"""Text becomes plain values, and whatever could hide something is refused."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import MalformedBody
from hpsearch.spec.yaml import load_json, load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-2.", -2.0),
        ("off", "off"),
        ("yes", "yes"),
        ("True", True),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("017", 17),
        ("0o17", 15),
        ("0xff", 255),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("|\n  12", "12"),
        ("=", "="),
        ("1e999", math.inf),
        ("-.inf", -math.inf),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    document: Any = load_yaml(f"a: {text}")[0]
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_nan_is_read_so_that_its_field_can_be_named() -> None:
    document: Any = load_yaml("a: .nan")[0]
    assert math.isnan(document["a"])


def test_keys_are_text_whatever_they_look_like() -> None:
    document, _ = load_yaml("1: a\noff: b\nnull: c\n<<: d\n")
    assert document == {"1": "a", "off": "b", "null": "c", "<<": "d"}


def test_every_key_and_entry_has_its_line() -> None:
    _, lines = load_yaml("# first\na:\n  b: [1,\n    2]\nc: 3\n")
    assert lines.line_of(("a",)) == 2
    assert lines.line_of(("a", "b")) == 3
    assert lines.line_of(("a", "b", 1)) == 4
    assert lines.line_of(("c",)) == 5
    assert lines.line_of(("a", "nowhere")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("# only a comment\n", "empty"),
        ("a: 1\nb: 2\na: 3\n", r'"a" stands twice \(line 3\)'),
        ("a: &x 1\n", r"anchors \(&x\).*line 1"),
        ("a: [1]\nb: *a\n", r"aliases \(\*a\).*line 2"),
        ("a: !!python/object:os.system 1\n", r"tags .*line 1"),
        ("a: !!str 1\n", "tags"),
        ("!!map {a: 1}\n", "tags"),
        ("a: 1\n---\nb: 2\n", r"second one starts \(line 2\)"),
        ("? [a]\n: 1\n", "key must be text"),
        ("{a: b}: 1\n", "key must be text"),
        ("a: [1, 2\n", "no valid YAML"),
        ("a: 1\n b: 2\n", r"no valid YAML.*line 2"),
        ("\tb: 2", "no valid YAML"),
        ("a: \x07", "no valid YAML"),
        ('a: "\\UFFFFFFFF"', "no valid YAML"),
        ("a: " + "9" * 5000, "digits"),
        ("[" * 100, "nested more than 64 levels"),
        ("a: [" + "1," * 100_000 + "1]", "more than 100,000 values"),
    ],
)
def test_what_hides_something_or_is_no_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(MalformedBody, match=message):
        load_yaml(text)


def test_a_yaml_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = 'a: &a ["lol"]\n' + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(MalformedBody, match="line 1"):
        load_yaml(bomb)


def test_deep_nesting_is_refused_quickly() -> None:
    start = time.monotonic()
    with pytest.raises(MalformedBody):
        load_yaml("[" * 1_000_000)
    assert time.monotonic() - start < 5.0  # the scanner alone would take hours


def test_bytes_are_utf_8_with_or_without_a_mark() -> None:
    assert load_yaml("a: ü".encode("utf-8-sig"))[0] == {"a": "ü"}
    with pytest.raises(MalformedBody, match="not UTF-8: byte 3"):
        load_yaml(b"a: \xff")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("{", r"no valid JSON.*line 1"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1, "b": 2, "a": 3}', '"a" stands twice'),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100 + "]" * 100, "nested more than 64"),
        ("9" * 5000, "5,000 digits"),
        ("[" + "1," * 100_000 + "1]", "more than 100,000"),
    ],
)
def test_json_that_is_none_or_goes_too_far_is_refused(text: str, message: str) -> None:
    with pytest.raises(MalformedBody, match=message):
        load_json(text)


def test_json_is_read_as_json() -> None:
    assert load_json('{"a": [1, 1.5, null, true, "off"]}') == {"a": [1, 1.5, None, True, "off"]}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused_as_malformed(text: str) -> None:
    for load in (load_yaml, load_json):
        try:
            load(text)
        except MalformedBody:
            continue


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,\\ \n\t01.e~<=", max_size=40))
def test_any_pile_of_yaml_signs_is_read_or_refused_as_malformed(text: str) -> None:
    try:
        load_yaml(text)
    except MalformedBody:
        return


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("aé1 :"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab1", max_size=3), inner),
        max_leaves=20,
    )
)
def test_json_text_means_the_same_read_as_yaml(value: Any) -> None:
    text = json.dumps(value)
    if "Infinity" not in text:
        assert load_yaml(text)[0] == load_json(text) == value
