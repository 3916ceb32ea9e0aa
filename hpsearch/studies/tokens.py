"""Access tokens: made once, kept in a private file, compared by hash."""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import InvalidRequest, NotFound
from hpsearch.settings import Settings
from hpsearch.storage.database import Database
from hpsearch.storage.tokens import TokenRecord, delete_token, insert_token, list_tokens
from hpsearch.storage.tokens import find_token as find_stored_token

SCOPES = ("read", "write", "admin")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Who a token speaks for, and how far."""

    owner: str
    scope: str


def admin_token(settings: Settings) -> str:
    """Return the configured token, or the one of the data folder, made at the first call.

    The file is readable by its owner alone (mode 0600); two processes that start together
    agree on one token.
    """
    if settings.token is not None:
        return settings.token.get_secret_value()
    path = settings.data_dir / "token"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = _read(path)
    if known:
        return known
    made = path.with_name(f".token-{secrets.token_hex(8)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        os.link(made, path)  # fails if another process was first; its token is the one
    except FileExistsError:
        pass
    finally:
        made.unlink()
    return _read(path)


def hash_token(token: str) -> str:
    """Return what is stored of a token: its SHA-256 in hexadecimal.

    A fast hash is right here: tokens are random, not words people choose.
    """
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def is_same_token(one: str, other: str) -> bool:
    """Compare in constant time, whatever characters came."""
    return hmac.compare_digest(hash_token(one), hash_token(other))


def find_token(database: Database, token: str) -> TokenOwner | None:
    """Return whom a stored token speaks for, or None."""
    with database.read() as tx:
        record = find_stored_token(tx, hash_token(token))
    return None if record is None else TokenOwner(record.owner, record.scope)


def create_token(database: Database, name: str, *, owner: str, scope: str) -> str:
    """Make a token and return it; only its hash is kept, so nobody can show it again.

    Raises:
        InvalidRequest: Name, owner or scope make no sense.
        InUse: Another token has the name.
    """
    for field, value in (("name", name), ("owner", owner)):
        if not _NAME.fullmatch(value):
            raise InvalidRequest(
                f"{field}: expected 1 to 64 letters, digits, `.`, `_`, `@` or `-`, got {value!r}"
            )
    if scope not in SCOPES:
        raise InvalidRequest(f"scope: expected one of {', '.join(SCOPES)}, got {scope!r}")
    token = secrets.token_urlsafe(32)
    with database.write() as tx:
        insert_token(tx, hash_token(token), name, owner, scope)
    return token


def known_tokens(database: Database) -> list[TokenRecord]:
    """Return what is known of the tokens that were made, by name."""
    with database.read() as tx:
        return list_tokens(tx)


def revoke_token(database: Database, name: str) -> None:
    """Make a token worthless from this moment on.

    Raises:
        NotFound: There is none of this name.
    """
    with database.write() as tx:
        if not delete_token(tx, name):
            raise NotFound(f"there is no token named {name!r}; `hpsearch token list` shows all")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
