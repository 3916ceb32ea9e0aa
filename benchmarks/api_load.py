"""The processes around the server that ``bench_api`` measures; they load neither torch nor Optuna.

python -m benchmarks.api_load work URL UUID NUMBER EVERY_S
python -m benchmarks.api_load ask PORT N_TRIALS RATE SECONDS
"""

import asyncio
import json
import random
import resource
import signal
import statistics
import sys
import time
from typing import Any

from hpsearch.storage.database import Database
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.paging import encode_token
from hpsearch.studies.report import TrialReport
from tests.studies import Hand, ended, metrics_of

NAME = "search"
TOKEN = "the-token-of-the-benchmark"
LANES = 32
N_WORKERS = 4
EPOCHS_OF_A_WORKER = 20  # after which its lanes end and others begin
PAGE = 100
N_CONNECTIONS = 64
N_CLIENTS = 8


def work(url: str, uuid: str, number: int, every_s: float) -> None:
    """Claim and report as a trainer does, until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    database = Database(url)
    hand = Hand(database, uuid, worker=f"worker-{number}")
    due = time.monotonic() + every_s * number / N_WORKERS
    while True:
        lanes = hand.claim(LANES)
        for epoch in range(1, EPOCHS_OF_A_WORKER + 1):
            due = max(due + every_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            hand.report(*(_told(lane, epoch, every_s) for lane in lanes))


def _told(lane: ClaimedTrial, epoch: int, every_s: float) -> TrialReport:
    value = 0.5 + random.random() / 2
    seconds = epoch * every_s / LANES
    if epoch == EPOCHS_OF_A_WORKER:
        return ended(lane, value, epoch, seconds)
    return TrialReport(lane.number, lane.token, {epoch: metrics_of(value)}, seconds, 10)


class Load:
    """Requests over connections that stay open.

    Args:
        port: Of the server.
        n_trials: What the pages are drawn from.
    """

    def __init__(self, port: int, n_trials: int) -> None:
        self._port = port
        self._n_trials = n_trials
        self._random = random.Random(0)
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.taken: dict[str, list[float]] = {"study": [], "trials": [], "best": []}
        self.n_failed = 0

    async def connect(self, n: int) -> None:
        for _ in range(n):
            self._idle.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    def draw(self) -> tuple[str, bytes]:
        """Return the kind of the next request, and the request: half of them get the study."""
        kind = self._random.choices(("study", "trials", "best"), (50, 40, 10))[0]
        path = f"/v1/studies/{NAME}"
        if kind == "best":
            path += f"/trials?limit={PAGE}&order_by=value"
        if kind == "trials":
            token = encode_token(self._random.randrange(self._n_trials - PAGE))
            path += f"/trials?limit={PAGE}&page_token={token}"
        text = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        return kind, text.encode()

    async def ask(self, due: float) -> None:
        """Send one request as soon as a connection is free; its time counts from ``due``."""
        kind, request = self.draw()
        reader, writer = await self._idle.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        await reader.readexactly(int(length))
        self.taken[kind].append(time.perf_counter() - due)
        self.n_failed += not head.startswith(b"HTTP/1.1 200")
        self._idle.put_nowait((reader, writer))

    async def open_loop(self, rate: float, seconds: float) -> None:
        """Send so many requests a second, whenever the answers come."""
        await self.connect(N_CONNECTIONS)
        started = time.perf_counter()
        asked = []
        for i in range(int(rate * seconds)):
            due = started + i / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(self.ask(due)))
        await asyncio.gather(*asked)

    async def closed_loop(self, seconds: float) -> None:
        """Let each client ask again as soon as it is answered."""
        await self.connect(N_CLIENTS)
        until = time.perf_counter() + seconds

        async def client() -> None:
            while (now := time.perf_counter()) < until:
                await self.ask(now)

        await asyncio.gather(*(client() for _ in range(N_CLIENTS)))


def load(port: int, n_trials: int, rate: float | None, seconds: float) -> None:
    """Load the server and print what was measured; the load generator's process."""
    generator = Load(port, n_trials)
    started = time.perf_counter()
    loop = generator.open_loop(rate, seconds) if rate else generator.closed_loop(seconds)
    asyncio.run(loop)
    took_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    everything = [each for kind in generator.taken.values() for each in kind]
    told: dict[str, Any] = {
        "requests": len(everything),
        "failed": generator.n_failed,
        "per_second": round(len(everything) / took_s, 1),
        "load_cpu": round((used.ru_utime + used.ru_stime) / took_s, 3),
    }
    for kind, taken in {"all": everything, **generator.taken}.items():
        at = statistics.quantiles(taken, n=1000, method="inclusive")
        told[f"{kind}_p50_ms"] = round(1000 * at[499], 2)
        told[f"{kind}_p99_ms"] = round(1000 * at[989], 2)
    told["max_ms"] = round(1000 * max(everything), 2)
    sys.stdout.write(json.dumps(told))


def main(role: str, *arguments: str) -> None:
    """Play one of the two parts."""
    if role == "work":
        url, uuid, number, every_s = arguments
        work(url, uuid, int(number), float(every_s))
    else:
        port, n_trials, rate, seconds = arguments
        load(int(port), int(n_trials), float(rate) or None, float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
