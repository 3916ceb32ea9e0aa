"""Page tokens: where the next page begins, opaque to callers."""

import base64
import binascii
import json
from typing import Any

from hpsearch.errors import FieldError, RequestInvalid

MAX_LIMIT = 1000
INT32 = range(2**31)
"""Numbers of trials, epochs and rows: the databases keep them in 32 bits."""
INT63 = range(2**63)


def encode_token(*key: Any) -> str:
    """Return the token of the page after the item with this key."""
    text = json.dumps(key, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str, *ranges: range) -> list[int]:
    """Return the key a token holds.

    Args:
        token: As it came from the caller.
        ranges: Where each part of the key must lie.

    Raises:
        RequestInvalid: It is not a token of this kind of list.
    """
    try:
        key = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_"))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(ranges)
        or not all(
            type(part) is int and part in valid for part, valid in zip(key, ranges, strict=True)
        )
    ):
        message = "expected a next_page_token of this list, as an earlier answer gave it"
        raise RequestInvalid([FieldError(("query", "page_token"), message, token)])
    return key


def check_limit(limit: int) -> int:
    """Return the page size.

    Raises:
        RequestInvalid: It is not 1 to 1,000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        message = f"expected 1 to {MAX_LIMIT}"
        raise RequestInvalid([FieldError(("query", "limit"), message, limit)])
    return limit
