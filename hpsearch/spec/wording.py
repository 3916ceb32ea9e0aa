"""The words of error messages: what a field takes, what came, which name was meant."""

import json
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

SYNONYMS = {
    "activations": "activation",
    "batch": "batch_size",
    "data": "dataset",
    "depth": "hidden_layers",
    "iterations": "epochs",
    "layers": "hidden_layers",
    "loss": "val_loss",
    "lr": "learning_rate",
    "max": "high",
    "maximum": "high",
    "min": "low",
    "minimum": "low",
    "n_layers": "hidden_layers",
    "neurons": "hidden_units",
    "n_trials": "max_trials",
    "options": "choices",
    "random_state": "seed",
    "timeout": "timeout_s",
    "trials": "max_trials",
    "units": "hidden_units",
    "validation_split": "validation_fraction",
    "values": "choices",
    "width": "hidden_units",
}
"""What other libraries call our fields, where the spelling does not give it away."""


def show(value: object, limit: int = 60) -> str:
    """Return a value as JSON text for a message, shortened to ``limit`` characters."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return f"a whole number of {int(value.bit_length() * 0.30103) + 1} digits"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, dict | list) and len(value) > limit:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,} entries"
    text = _json_text(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _json_text(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text


def portable(value: object) -> object:
    """Return the offending value if any JSON writer can send it, else a short text about it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**64 else show(value)
    text = _json_text(value) if not isinstance(value, dict | list) else show(value, 200)
    if isinstance(value, str) and text.isprintable() and len(value) <= 200:
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and text not in {"NaN", "Infinity", "-Infinity"}:
        return value
    return text if len(text) <= 200 else f"{text[:197]}..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    names = list(known)
    synonym = SYNONYMS.get(name.lower())
    if synonym in names:
        return synonym
    longer = [known_name for known_name in names if known_name.startswith(name.lower())]
    if len(name) > 2 and len(longer) == 1:
        return longer[0]
    close = get_close_matches(name.lower()[:64], names, n=1, cutoff=0.6)
    return close[0] if close else None


def listed(names: Iterable[object]) -> str:
    """Return ``a, b or c``."""
    words = [str(name) for name in names]
    if not words:
        return "nothing"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def expectation(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema asks for in words, ``a whole number from 1 to 32``."""
    if "anyOf" in schema:
        return listed(expectation(option) for option in schema["anyOf"])
    if "const" in schema:
        return _word(schema["const"])
    if "enum" in schema:
        values = [_word(value) for value in schema["enum"]]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return " ".join(["a whole number" if kind == "integer" else "a number", *_bounds(schema)])
    if kind == "string":
        return " ".join(["text", *_text_rules(schema)])
    if kind == "array":
        each = f", each {expectation(schema['items'])}" if schema.get("items") else ""
        return " ".join(["a list", *_size(schema, "Items", "entries")]) + each
    words = {"boolean": "true or false", "null": "null", "object": "an object"}
    return words.get(str(kind), "another value")


def _word(value: object) -> str:
    return value if isinstance(value, str) else show(value)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return [f"from {_number(low)} to {_number(high)}"]
    words = []
    if low is not None:
        words.append(f"of at least {_number(low)}")
    if above is not None:
        words.append(f"above {_number(above)}")
    if high is not None:
        words.append(
            f"of at most {_number(high)}" if not words else f"and at most {_number(high)}"
        )
    if below is not None:
        words.append(f"below {_number(below)}" if not words else f"and below {_number(below)}")
    return words


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _text_rules(schema: Mapping[str, Any]) -> list[str]:
    rules = []
    if "pattern" in schema:
        rules.append(f"that matches {schema['pattern']}")
    return [*rules, *_size(schema, "Length", "characters")]


def _size(schema: Mapping[str, Any], what: str, unit: str) -> list[str]:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if most is None:
        return []
    return [f"of {least:,} to {most:,} {unit}" if least else f"of at most {most:,} {unit}"]
