"""Rows of access tokens, stored as hashes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from hpsearch.storage.database import Transaction
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
