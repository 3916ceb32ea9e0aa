"""The data sets of a server from Python."""

import re
from collections.abc import Iterator
from pathlib import Path

from hpsearch.client.decode import decode
from hpsearch.client.http import Connection, FileBody
from hpsearch.errors import DatasetNotFound, FieldError, InvalidRequest, RequestInvalid
from hpsearch.spec.views import DatasetView

UPLOAD_S = 3600.0  # a gigabyte of CSV takes minutes to understand
PAGE_SIZE = 100
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MEDIA_TYPES = {".csv": "text/csv", ".npz": "application/x-npz"}


class Datasets:
    """Data sets: those of the installation and uploads.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Iterator[DatasetView]:
        """Yield all data sets by name."""
        token: str | None = None
        while True:
            query = {"limit": PAGE_SIZE, "page_token": token}
            page = self._connection.request("GET", "/v1/datasets", params=query)
            for row in page["datasets"]:
                yield decode(DatasetView, row)
            token = page["next_page_token"]
            if token is None:
                return

    def get(self, name: str) -> DatasetView:
        """Return one data set.

        Raises:
            DatasetNotFound: There is none of this name.
        """
        return decode(DatasetView, self._connection.request("GET", _path(name)))

    def add(
        self, path: Path | str, name: str | None = None, *, target: str | None = None,
        task: str | None = None,
    ) -> DatasetView:  # fmt: skip
        """Upload a CSV or npz file; the same file and questions again change nothing.

        Args:
            path: The file; its suffix tells what it is.
            name: What definitions will call it; default: the file's name without suffix.
            target: CSV: the column to predict; default: the last one.
            task: ``classification`` or ``regression``; default: inferred.

        Raises:
            DatasetTaken: The name belongs to other data.
            RequestInvalid: Everything that is wrong with the file.
            InvalidRequest: The file cannot be read.
        """
        path = Path(path)
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise InvalidRequest(f"{path} must be a .csv or .npz file")
        name = path.stem.lower() if name is None else name
        if not NAME.fullmatch(name):
            msg = "must be lower-case letters, digits, dots, underscores and hyphens"
            raise RequestInvalid([FieldError(("name",), msg, name)])
        try:
            body = FileBody(path)
        except OSError as error:
            raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error
        answer = self._connection.request(
            "PUT",
            _path(name),
            params={"target": target, "task": task},
            body=body,
            headers={"content-type": media_type},
            timeout_s=UPLOAD_S,
        )
        return decode(DatasetView, answer)

    def remove(self, name: str) -> None:
        """Delete an upload.

        Raises:
            DatasetNotFound: There is none of this name.
            InUse: A study needs it.
        """
        self._connection.request("DELETE", _path(name))


def _path(name: str) -> str:
    # a name that no data set can have must not reach the path
    if not NAME.fullmatch(name):
        raise DatasetNotFound(name)
    return f"/v1/datasets/{name}"
