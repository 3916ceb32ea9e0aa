"""Access tokens: made once, kept in a private file, compared by hash."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from hpsearch.settings import Settings
from hpsearch.storage.database import Database
from hpsearch.storage.tokens import find_token as find_stored_token

SCOPES = ("read", "write", "admin")


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


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
