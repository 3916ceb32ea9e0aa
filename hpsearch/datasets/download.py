"""Fetch a file from the first mirror that has it: checked, whole or not at all, once."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path

from hpsearch.logs import get_logger

_TIMEOUT_S = 20.0  # without a byte, before the next mirror is tried
_BLOCK_BYTES = 1 << 20

log = get_logger(__name__)


class DownloadFailedError(Exception):
    """No mirror delivered the right file; the message lists what each one did."""


def download(
    mirrors: Sequence[str], name: str, target: Path, *, sha256: frozenset[str], max_bytes: int
) -> None:
    """Put ``name`` from the first good mirror at ``target``.

    The file is written beside its place, checked, synced and renamed, so that nobody ever sees
    half a file.

    Args:
        mirrors: Base URLs (http or https), tried in order.
        name: File name, appended to each.
        target: Where the file goes; its folder exists.
        sha256: Accepted checksums of the file as delivered.
        max_bytes: A longer answer is refused.

    Raises:
        DownloadFailedError: No mirror had the right file.
        OSError: The target cannot be written.
    """
    failures: list[str] = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        if not url.startswith(("https://", "http://")):
            failures.append(f"{url}: not an http address")
            continue
        try:
            _fetch(url, target, sha256, max_bytes)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            failures.append(f"{url}: {error}")
        except _WrongContentError as error:
            failures.append(f"{url}: {error}")
        else:
            log.info("dataset_file_downloaded", url=url, path=str(target))
            return
        log.warning("dataset_mirror_failed", url=url, reason=failures[-1])
    raise DownloadFailedError("; ".join(failures) or "no mirrors are known")


class _WrongContentError(Exception):
    pass


def _fetch(url: str, target: Path, sha256: frozenset[str], max_bytes: int) -> None:
    digest = hashlib.sha256()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            n_bytes = 0
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - scheme checked above
                while block := response.read(_BLOCK_BYTES):
                    n_bytes += len(block)
                    if n_bytes > max_bytes:
                        raise _WrongContentError(f"longer than the {max_bytes:,} bytes expected")
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() not in sha256:
                raise _WrongContentError(
                    f"wrong checksum {digest.hexdigest()} ({n_bytes:,} bytes)"
                )
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the folder's download lock; others wait, so that each file is fetched once."""
    with (folder / ".download.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file lets go
