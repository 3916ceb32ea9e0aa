"""Rows of access tokens, stored as hashes."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from hpsearch.errors import InUse
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.tables import tokens


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token; the token itself is nowhere."""

    sha256: str
    name: str
    owner: str
    scope: str
    created_at: datetime


def find_token(tx: Transaction, sha256: str) -> TokenRecord | None:
    """Return the token with this hash, or None."""
    row = tx.execute(select(tokens).where(tokens.c.sha256 == sha256)).first()
    return None if row is None else TokenRecord(**row._mapping)


def insert_token(tx: Transaction, sha256: str, name: str, owner: str, scope: str) -> TokenRecord:
    """Write a token.

    Raises:
        InUse: Another one has the name.
    """
    record = TokenRecord(sha256, name, owner, scope, now(tx))
    try:
        tx.execute(insert(tokens).values(**asdict(record)))
    except IntegrityError as error:
        raise InUse(
            f"there is a token named {name!r}: revoke it or choose another name"
        ) from error
    return record


def list_tokens(tx: Transaction) -> list[TokenRecord]:
    """Return the tokens by name."""
    rows = tx.execute(select(tokens).order_by(tokens.c.name))
    return [TokenRecord(**row._mapping) for row in rows]


def delete_token(tx: Transaction, name: str) -> bool:
    """Delete the token of this name; return whether there was one."""
    return bool(tx.execute(delete(tokens).where(tokens.c.name == name)).rowcount)
