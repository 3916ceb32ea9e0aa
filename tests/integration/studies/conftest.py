from collections.abc import Iterator

import pytest

from hpsearch.storage.database import Database
from tests.studies import opened


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database
