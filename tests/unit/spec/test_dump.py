"""Definitions as people read them: the same document comes back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.spec.dump import dump_yaml
from hpsearch.spec.yaml import load_yaml

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), VALUES, min_size=1))
def test_what_is_written_is_read_back(document: dict[str, Any]) -> None:
    assert load_yaml(dump_yaml(document))[0] == document


@pytest.mark.parametrize(
    "text", ["1e-3", "null", "true", "off", "1:30", "# no", "- a", "a: b", "", "?", "?0"]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    document = {"a": text, "tags": [text]}
    assert load_yaml(dump_yaml(document))[0] == document


def test_what_is_short_stands_on_one_line() -> None:
    text = dump_yaml({"limits": {"max_trials": 3, "timeout_s": None}, "tags": ["a", "b"]})
    assert text == "limits: {max_trials: 3, timeout_s: null}\ntags: [a, b]\n"
