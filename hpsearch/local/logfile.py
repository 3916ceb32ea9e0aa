"""Log files of child processes, which never fill the disk."""

import shutil
from pathlib import Path
from typing import IO

LARGEST_BYTES = 10 * 1024 * 1024
_TAIL_BYTES = 4096


class LogFile:
    """A file a child appends to; fresh at every start of the service.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(b"")
        self.path = path
        self.output: IO[bytes] = path.open("ab")

    def bound(self) -> None:
        """Move what is there aside once it is large; the child, which appends, goes on."""
        if self.path.stat().st_size > LARGEST_BYTES:
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
            self.output.truncate(0)

    def last_line(self) -> str:
        """Return the last line that says something."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def close(self) -> None:
        """Close our end; the child keeps its own."""
        self.output.close()
