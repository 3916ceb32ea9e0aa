"""An RQ worker whose work-horse is one warm trainer, and which needs Redis only to be quick."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from signal import SIGCHLD, SIGINT, SIGTERM
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Worker, worker_registration
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.queue import Queue
from rq.worker import WorkerStatus

from hpsearch.faults import Window, reached
from hpsearch.logs import get_logger
from hpsearch.processes import Backoff, SignalPipe
from hpsearch.queue.connection import reason
from hpsearch.queue.sweep import sweep
from hpsearch.queue.turns import ForeignJobError, TurnJob, TurnQueue, study_of
from hpsearch.worker.trainer_process import Phase, TrainerDiedError, TrainerProcess

log = get_logger(__name__)

LOOK_AFTER_S = 2  # nobody rang: ask the database; whole seconds, for BLMOVE
HAND_BACK_S = 7.0  # of the 8 s a worker has to leave; lanes come back within one step chunk
BEAT_S = 5.0  # presence in Redis, seen by `rq info` only; three may be missed
SWEEP_S = 60.0


class _WokenError(Exception):
    """A signal came while waiting for a ring."""


class WarmWorker(Worker):
    """Listens to the one queue and passes turns to its trainer.

    Every ring becomes a turn; without one for two seconds it takes a turn without a hint, so
    that an absent, emptied or restarted Redis makes it slower and nothing else. It runs no
    function of a job, takes no commands through Redis, and loads neither torch nor a database
    driver.

    Args:
        connection: Where the queue is.
        name: Unique name of this worker.
        trainer: Its trainer, not yet started.
    """

    queue_class: type[Queue] = TurnQueue
    job_class: type[Job] = TurnJob

    def __init__(self, connection: Redis, name: str, trainer: TrainerProcess) -> None:
        queue = TurnQueue(connection=connection)
        # prepare_for_work would talk to Redis here and now
        super().__init__(
            [queue], name, connection=connection, serializer="json", prepare_for_work=False
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self.job_monitoring_interval = int(BEAT_S)
        self._queue = queue
        self._trainer = trainer
        self._signals = SignalPipe()
        self._is_waiting = False
        self._is_due = True  # to look at the database without waiting for a ring
        self._redis_back_at = 0.0
        self._redis_backoff = Backoff(first_s=0.5, longest_s=10.0, calm_s=float("inf"))
        self._turn_backoff = Backoff(first_s=1.0, longest_s=10.0, calm_s=float("inf"))
        self._beat_at = self._sweep_at = 0.0
        self._suspects: frozenset[str] = frozenset()

    def work(self, *_: Any, **__: Any) -> bool:
        """Take turns until a signal says stop; the trainer is gone when this returns."""
        handlers = {SIGTERM: self._on_stop, SIGINT: self._on_stop, SIGCHLD: self._on_child}
        with self._signals.handling(handlers):
            try:
                while not self._stop_requested:
                    with contextlib.suppress(TrainerDiedError):  # told by the trainer process
                        self._step()
            finally:
                self.teardown()
        return True

    def execute_job(self, job: Job, queue: Queue) -> None:  # noqa: ARG002 - RQ's signature
        """Answer one ring with a turn; the ring is gone afterwards, whatever came of it."""
        try:
            hint = study_of(job)
        except ForeignJobError as error:
            self._refuse(job.id, error)
            return
        reached(Window.RING_TAKEN)
        with self._redis_may_fail():
            self.prepare_execution(job)
            self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        try:
            self._take_turn(hint, job)
        finally:
            self._state = WorkerStatus.IDLE
            with self._redis_may_fail():
                with self.connection.pipeline() as pipeline:
                    self.cleanup_execution(job, pipeline=pipeline)
                    pipeline.delete(job.key)
                    pipeline.execute()
                self._register()

    def teardown(self) -> None:
        """Send the trainer home and sign off."""
        self._trainer.leave()
        with self._redis_may_fail():
            self.register_death()  # type: ignore[no-untyped-call]  # RQ's

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002 - RQ's signature
        """Return how long this worker is believed in without a word, s."""
        return int(3 * BEAT_S)

    def _set_connection(self, connection: Redis) -> Redis:
        return connection  # RQ would lengthen the time-outs

    def _step(self) -> None:
        phase = self._trainer.phase
        if phase is Phase.ABSENT and self._trainer.start_in_s > 0:
            self._signals.wait(self._trainer.start_in_s)
        elif phase is Phase.ABSENT:
            self._trainer.start()
            self._is_due = True
        elif phase is Phase.STARTING:
            self._await_word(BEAT_S)
        else:
            self._listen_and_turn()
        self._beat(None)

    def _listen_and_turn(self) -> None:
        job = self._next_ring(0 if self._is_due else LOOK_AFTER_S)
        self._trainer.bury_if_dead()
        if self._stop_requested:
            return
        if job is not None:
            self.execute_job(job, self._queue)
        else:
            self._take_turn(None, None)

    def _next_ring(self, wait_s: int) -> Job | None:
        if time.monotonic() < self._redis_back_at:
            if wait_s:
                self._await_word(wait_s)
            return None
        with self._redis_may_fail():
            try:
                with self._waking():
                    taken = self.queue_class.dequeue_any(
                        [self._queue],
                        wait_s or None,
                        connection=self.connection,
                        job_class=TurnJob,
                        serializer="json",
                    )
            except DequeueTimeout:
                taken = None
            except _WokenError:
                return None
            except RedisError:
                raise
            except Exception as error:
                self._refuse(getattr(error, "job_id", ""), error)
                return None
            self._redis_answered()
            return taken[0] if taken is not None else None
        return None

    def _take_turn(self, hint: str | None, job: Job | None) -> None:
        self._is_due = False
        self._trainer.take_turn(hint)
        if self._stop_requested:
            self._trainer.interrupt()  # the signal came before the turn did
        kill_at: float | None = None
        while self._trainer.phase is Phase.BUSY:
            if self._stop_requested and kill_at is None:
                kill_at = time.monotonic() + HAND_BACK_S
            if kill_at is not None and time.monotonic() >= kill_at:
                raise self._trainer.kill("did not hand its lanes back in time")
            message = self._await_word(0.2 if kill_at is not None else BEAT_S)
            if message is not None and "done" in message:
                self._is_due = bool(message["done"])
                self._turn_backoff.succeeded()
            elif message is not None and "failed" in message:
                self._pause_after(str(message["failed"]))
            elif kill_at is None:
                self._beat(job)

    def _pause_after(self, failure: str) -> None:
        wait_s = self._turn_backoff.failed()
        log.warning("turn_failed", worker=self.name, reason=failure, retry_in_s=wait_s)
        until = time.monotonic() + wait_s
        while not self._stop_requested and (left_s := until - time.monotonic()) > 0:
            self._await_word(left_s)

    def _await_word(self, timeout_s: float) -> dict[str, Any] | None:
        message = self._trainer.next_message(timeout_s, self._signals.fileno())
        self._signals.drain()
        return message

    def _beat(self, job: Job | None) -> None:
        """Show presence in Redis, from nothing if it was emptied, and clear up now and then."""
        now = time.monotonic()
        if now < self._beat_at or now < self._redis_back_at:
            return
        self._beat_at = now + BEAT_S
        with self._redis_may_fail():
            self._register()
            if job is not None and self.execution is not None:
                self.maintain_heartbeats(job)
            if now >= self._sweep_at:
                self._sweep_at = now + SWEEP_S
                self._suspects = sweep(self.connection, self._suspects)
                worker_registration.clean_worker_registry(self._queue)

    def _register(self) -> None:
        from rq.utils import now  # RQ's clock, in RQ's format

        self.last_heartbeat = now()
        self.birth_date = self.birth_date or self.last_heartbeat
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
            pipeline.expire(self.key, int(3 * BEAT_S))
            worker_registration.register(self, pipeline)
            pipeline.execute()

    def _refuse(self, job_id: str, error: Exception) -> None:
        log.error("job_refused", worker=self.name, job=job_id, reason=str(error)[:200])
        with self._redis_may_fail(), self.connection.pipeline() as pipeline:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job_id)
            pipeline.delete(TurnJob.key_for(job_id))
            pipeline.execute()

    @contextlib.contextmanager
    def _redis_may_fail(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            if self._redis_backoff.n_failures == 0:
                log.warning("redis_lost", worker=self.name, reason=reason(error))
            self._redis_back_at = time.monotonic() + self._redis_backoff.failed()

    def _redis_answered(self) -> None:
        if self._redis_backoff.n_failures:
            log.info("redis_found", worker=self.name)
            self._redis_backoff.succeeded()

    @contextlib.contextmanager
    def _waking(self) -> Iterator[None]:
        """Let a signal end the block with _WokenError; one that came just before does so too."""
        self._is_waiting = True
        try:
            if self._stop_requested:
                raise _WokenError
            yield
        finally:
            self._is_waiting = False

    def _on_stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._stop_requested = True
        self._trainer.interrupt()
        self._wake()

    def _on_child(self, _signum: int, _frame: FrameType | None) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            raise _WokenError
