"""Everything on one machine: Redis, database, API and workers, as one thing to start and stop."""

import contextlib
import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import HpsearchError, ServiceDown
from hpsearch.local.address import announce, listen, url_of
from hpsearch.local.lock import FolderLock
from hpsearch.local.logfile import LogFile
from hpsearch.local.redis import BundledRedis
from hpsearch.local.service import Announce, Service
from hpsearch.processes import Process, describe_exit, kill, python, spawn, stop
from hpsearch.settings import Settings

LOOK_S = 0.1  # between two looks at the processes
LEAVE_S = 10.5  # workers take 9 s at most, the API 5 s
HOPELESS_AFTER = 3  # deaths of the API before it was ever ready
WORKER_WAITS_S = 10.0  # for the API, which starts sooner with the processor to itself
BOUND_LOGS_S = 10.0


@dataclass(frozen=True, slots=True)
class Modules:
    """The programs of a stack, by module name and arguments."""

    api: tuple[str, ...] = ("hpsearch.api",)
    worker: tuple[str, ...] = ("hpsearch.worker",)
    upgrade: tuple[str, ...] = ("hpsearch.local.upgrade",)


class Stack:
    """The whole service of one data folder, as child processes that cannot outlive us.

    A thread starts, watches and stops them, so that a Ctrl-C in the main thread, at any moment
    and any number of times, finds somebody to finish the work; and if this process is killed,
    the kernel kills them.

    Args:
        settings: Of this process; the children get the same.
        announce: Told in a sentence when a process dies; standard error by default.
        modules: Other programs, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        announce: Announce | None = None,
        modules: Modules | None = None,
    ) -> None:
        self._settings = settings
        self._announce = announce or _to_standard_error
        self._modules = modules or Modules()
        self._folder = settings.data_dir.resolve()
        self._lock = FolderLock(self._folder)
        self._socket: socket.socket | None = None
        self._port = 0
        self._logs: list[LogFile] = []
        self._services: list[Service] = []
        self._redis: BundledRedis | None = None
        self._upgrade: tuple[Process, LogFile] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._hurrying = threading.Event()
        self._settled = threading.Event()  # ready, or failed
        self._failure: HpsearchError | None = None

    @property
    def url(self) -> str:
        """Where the API listens.

        Raises:
            ServiceDown: The stack was never started.
        """
        if self._port == 0:
            raise ServiceDown("api", "it was not started")
        return url_of(self._settings.host, self._port)

    @property
    def token(self) -> str:
        """The admin token: the configured one, or what the API made at its first start.

        Raises:
            ServiceDown: The API has not made it yet.
        """
        if self._settings.token is not None:
            return self._settings.token.get_secret_value()
        try:
            return (self._folder / "token").read_text().strip()
        except OSError:
            raise ServiceDown("api", "it has made no token yet") from None

    def start(self) -> None:
        """Start everything and return at once.

        Raises:
            InUse: Another stack runs on the data folder.
            ServiceDown: The wanted port is taken.
        """
        self._lock.acquire()
        self._server_file.unlink(missing_ok=True)  # of one that was killed
        self._socket = listen(self._settings.host, self._settings.port)
        self._port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="stack", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the API answers and finds its database and Redis.

        Raises:
            ServiceDown: Something does not come up; says what, and where to read why.
        """
        if not self._settled.wait(timeout_s):
            logs = self._folder / "logs"
            raise ServiceDown("api", f"not ready after {timeout_s:g} s; its logs are in {logs}")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop everything in order; returns when every process is gone.

        Workers hand their trials back. An interrupt while waiting kills instead of asking.
        Stopping again, or what never started, does nothing.
        """
        self._stopping.set()
        thread = self._thread
        while thread is not None and thread.is_alive():
            try:
                thread.join(0.1)
            except (KeyboardInterrupt, SystemExit):
                self._hurrying.set()
        self._hang_up()
        self._lock.release()

    def __enter__(self) -> "Stack":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._bring_up()
            self._watch()
            if not self._settled.is_set():
                raise ServiceDown("the service", "it was stopped before it was ready")
        except HpsearchError as error:
            self._failure = error
        except Exception as error:
            self._failure = ServiceDown("the service", f"{type(error).__name__}: {error}")
        finally:
            self._take_down()
            self._settled.set()

    def _bring_up(self) -> None:
        if self._settings.redis_url is None:
            log = self._log("redis")
            self._redis = BundledRedis(self._settings.redis_socket, log.output)
            self._add("redis", self._redis.start, log).start()
        if self._settings.is_embedded:
            self._begin_upgrade()
        others = {"port": str(self._port)}
        if self._redis is not None:
            others["redis_url"] = self._redis.url
        environment = self._settings.environment(**others)
        descriptor = -1 if self._socket is None else self._socket.fileno()
        log = self._log("api")
        command = (*self._modules.api, "--fd", str(descriptor))
        self._add("api", _launcher(command, environment, log, descriptor), log).start()
        log = self._log("worker")
        self._add("worker", _launcher(self._modules.worker, environment, log), log)

    def _begin_upgrade(self) -> None:
        """Upgrade beside the start of the API, or before it where there is nothing to serve."""
        is_new = not (self._folder / "hpsearch.db").exists()
        log = self._log("upgrade")
        process = _launcher(self._modules.upgrade, self._settings.environment(), log)()
        self._upgrade = process, log
        while is_new and process.poll() is None and not self._stopping.is_set():
            time.sleep(0.01)
        self._check_upgrade()

    def _check_upgrade(self) -> None:
        if self._upgrade is None or self._upgrade[0].poll() is None:
            return
        (process, log), self._upgrade = self._upgrade, None
        if process.returncode != 0 and not self._stopping.is_set():
            how = describe_exit(process.returncode)
            raise ServiceDown("database", f"its upgrade failed ({how}): {log.last_line()}")

    def _watch(self) -> None:
        worker_at = time.monotonic() + WORKER_WAITS_S
        bound_at = time.monotonic() + BOUND_LOGS_S
        while not self._stopping.wait(0.02 if not self._settled.is_set() else LOOK_S):
            self._check_upgrade()
            if not self._settled.is_set():
                self._look_whether_ready()
            for service in self._services:
                is_held = service.name == "worker" and not self._settled.is_set()
                if not is_held or time.monotonic() >= worker_at:
                    service.tend()
            if time.monotonic() >= bound_at:
                bound_at = time.monotonic() + BOUND_LOGS_S
                for log in self._logs:
                    log.bound()

    def _look_whether_ready(self) -> None:
        api = self._named("api")
        if self._upgrade is None and _is_ready(self._settings.host, self._port):
            announce(self._folder, self.url, os.getpid())
            self._settled.set()
        elif api.backoff.n_failures >= HOPELESS_AFTER:
            raise ServiceDown(
                "api", f"it does not come up: {api.log.last_line()} (more in {api.log_path})"
            )

    def _take_down(self) -> None:
        with contextlib.suppress(OSError):
            self._server_file.unlink()
        hurry = self._hurrying.is_set
        self._hang_up()
        clients = [s.process for s in self._services if s.process and s.name != "redis"]
        if self._upgrade is not None:
            kill(self._upgrade[0])  # migrations are transactions
        stop(clients, LEAVE_S, hurry)
        if self._redis is not None:
            self._redis.stop()
        for log in self._logs:
            log.close()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _server_file(self) -> Path:
        return self._folder / "server.json"

    def _log(self, name: str) -> LogFile:
        log = LogFile(self._folder / "logs" / f"{name}.log")
        self._logs.append(log)
        return log

    def _add(self, name: str, launch: Callable[[], Process], log: LogFile) -> Service:
        service = Service(name, launch, log, self._announce)
        self._services.append(service)
        return service

    def _named(self, name: str) -> Service:
        return next(service for service in self._services if service.name == name)


def _launcher(
    command: tuple[str, ...], environment: dict[str, str], log: LogFile, *descriptors: int
) -> Callable[[], Process]:
    def launch() -> Process:
        return spawn(
            python(*command), environment=environment, output=log.output, pass_fds=descriptors
        )

    return launch


def _is_ready(host: str, port: int) -> bool:
    address = url_of(host, port).removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=0.5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _to_standard_error(sentence: str) -> None:
    sys.stderr.write(f"hpsearch: {sentence}\n")
