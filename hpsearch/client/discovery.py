"""Where the server is and which token it takes."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from hpsearch.client.http import is_loopback
from hpsearch.errors import Unavailable
from hpsearch.settings import Settings


@dataclass(frozen=True, slots=True)
class Address:
    """A server and the token to show it."""

    url: str
    token: str | None


def find_address(settings: Settings) -> Address:
    """Return the configured server, else the one running on the data folder.

    The token of the data folder is shown to servers of this machine only.

    Raises:
        Unavailable: None is configured and none runs; says what to do.
    """
    url = settings.url or running_url(settings.data_dir)
    if url is None:
        raise Unavailable(
            f"no server runs on the data folder {settings.data_dir}: start one with "
            "`hpsearch up`, or set HPSEARCH_URL to where one runs"
        )
    return Address(url.rstrip("/"), find_token(settings, url))


def find_token(settings: Settings, url: str) -> str | None:
    """Return the configured token, else the data folder's for a server of this machine."""
    if settings.token is not None:
        return settings.token.get_secret_value()
    return stored_token(settings.data_dir) if is_loopback(url) else None


def stored_token(data_dir: Path) -> str | None:
    """Return the token a server made in the data folder, None before its first start."""
    try:
        return (data_dir / "token").read_text().strip() or None
    except OSError:
        return None


def running_url(data_dir: Path) -> str | None:
    """Return where the server of the data folder says it listens; None if it is not alive."""
    try:
        server = json.loads((data_dir / "server.json").read_text())
        url, pid = str(server["url"]), int(server["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if _is_alive(pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
