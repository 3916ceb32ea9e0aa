"""Messages between a worker and its trainer: JSON objects over a socket pair."""

import json
from multiprocessing.connection import Connection, Pipe
from threading import Lock
from typing import Any

_LARGEST_MESSAGE_BYTES = 64 * 1024

Message = dict[str, Any]


class Channel:
    """One end. Sending is safe from several threads; a message is one small write."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._lock = Lock()

    @classmethod
    def pair(cls) -> tuple["Channel", "Channel"]:
        """Return two connected ends."""
        ours, theirs = Pipe()
        return cls(ours), cls(theirs)

    @classmethod
    def inherited(cls, descriptor: int) -> "Channel":
        """Return the end this process was born with."""
        return cls(Connection(descriptor))

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            OSError: The other end is gone.
        """
        with self._lock:
            self._connection.send_bytes(json.dumps(message).encode())

    def send_from_signal_handler(self, message: Message) -> None:
        """Send without the lock, which the interrupted code may hold: a single small write."""
        self._connection.send_bytes(json.dumps(message).encode())

    def receive(self) -> Message:
        """Wait for one message.

        Raises:
            EOFError: The other end is gone.
            OSError: Likewise.
        """
        message: Message = json.loads(self._connection.recv_bytes(_LARGEST_MESSAGE_BYTES))
        return message

    def close(self) -> None:
        """Hang up; the other end sees it at once."""
        self._connection.close()
