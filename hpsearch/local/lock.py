"""One service per data folder, however its last owner ended."""

import fcntl
import os
from pathlib import Path
from typing import IO

from hpsearch.errors import InUse


class FolderLock:
    """The right to run the service of a data folder; the kernel takes it back at our end.

    Args:
        folder: The data folder, made if need be, for this user alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the right.

        Raises:
            InUse: Another process has it; says which.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self._folder / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise InUse(
                f"hpsearch runs already on the data folder {self._folder} (process {owner}): "
                "use it, stop it, or set HPSEARCH_DATA_DIR to another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the right back."""
        if self._file is not None:
            self._file.close()
            self._file = None
