"""What every test of the grammar starts from."""

import pytest

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.yaml import load_yaml
from tests.unit.spec.sample_catalog import BASE, Errors, Parse, sample_catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The sample plugins."""
    return sample_catalog()


@pytest.fixture(scope="session")
def parse(catalog: Catalog) -> Parse:
    """Parse YAML sections laid over a minimal valid definition."""

    def parse_over_base(text: str) -> Definition:
        given, lines = load_yaml(text) if text else ({}, None)
        assert isinstance(given, dict)
        return parse_definition({**BASE, **given}, catalog, lines)

    return parse_over_base


@pytest.fixture(scope="session")
def errors(parse: Parse) -> Errors:
    """Return the messages of an invalid definition by dotted place."""

    def errors_over_base(text: str) -> dict[str, str]:
        with pytest.raises(InvalidDefinition) as caught:
            parse(text)
        found: dict[str, str] = {}
        for error in caught.value.errors:
            place = ".".join(str(part) for part in error.loc)
            assert place not in found, f"two errors at {place}"
            found[place] = error.msg
        return found

    return errors_over_base
