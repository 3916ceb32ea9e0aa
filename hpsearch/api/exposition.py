"""Numbers in the text form that Prometheus reads."""

from collections.abc import Iterable, Mapping
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Labels = Mapping[str, str]


class Requests:
    """Requests this process has answered."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._seconds = 0.0
        self._lock = Lock()

    def add(self, method: str, status: int, seconds: float) -> None:
        """Count one answer; methods nobody knows are one."""
        key = method if method in METHODS else "other", status
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1
            self._seconds += seconds

    def lines(self) -> list[str]:
        """Return them as families of metrics."""
        with self._lock:
            counts, seconds = dict(self._counts), self._seconds
        samples = [
            ({"method": method, "status": str(status)}, float(n))
            for (method, status), n in sorted(counts.items())
        ]
        return [
            *family("hpsearch_http_requests_total", "counter", "Requests answered.", samples),
            *family(
                "hpsearch_http_request_seconds_total",
                "counter",
                "Time from a request to the end of its answer, streams included.",
                [({}, seconds)],
            ),
        ]


def family(name: str, kind: str, what: str, samples: Iterable[tuple[Labels, float]]) -> list[str]:
    """Return the lines of one family of metrics.

    Args:
        name: Of the family.
        kind: ``gauge`` or ``counter``.
        what: One line for people.
        samples: Labels and value of each.
    """
    lines = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        number = str(int(value)) if value.is_integer() else repr(value)
        lines.append(f"{name}{{{shown}}} {number}" if shown else f"{name} {number}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
