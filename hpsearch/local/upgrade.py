"""``python -m hpsearch.local.upgrade``: bring the embedded database up to date, then leave."""

import sys

from hpsearch.errors import HpsearchError
from hpsearch.settings import read_settings
from hpsearch.storage.schema import upgrade


def main() -> int:
    """Migrate the configured database."""
    try:
        upgrade(read_settings().resolved_database_url)
    except HpsearchError as error:
        sys.stderr.write(f"hpsearch: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
