"""The service from Python: every call of the API as a method, every answer as a frozen view."""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from hpsearch.client.datasets import Datasets
from hpsearch.client.decode import View, decode, decode_epoch
from hpsearch.client.definitions import Draft, Source, read_draft
from hpsearch.client.discovery import find_address, find_token
from hpsearch.client.frame import frame_of
from hpsearch.client.http import Connection
from hpsearch.client.listen import listen
from hpsearch.client.submission import Submission, hand_in
from hpsearch.errors import InvalidDefinition, StudyNotFound, Unavailable
from hpsearch.settings import read_settings
from hpsearch.spec.events import Event
from hpsearch.spec.states import Origin, StudyState, TrialState
from hpsearch.spec.views import EpochView, StudyView, TrialSummary, TrialView, WorkerView

PAGE_SIZE = 200
OUTAGE_S = 60.0  # a restart of the server takes seconds; longer than this is worth telling
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Validation:
    """A definition that would be accepted.

    Attributes:
        definition: With all defaults filled in.
        size: Number of points of the search space; None if it is infinite.
        warnings: What may not be meant so.
    """

    definition: dict[str, Any]
    size: int | None
    warnings: tuple[str, ...]


class Client:
    """A server of this product.

    ``Client()`` finds the server: ``HPSEARCH_URL`` and ``HPSEARCH_TOKEN`` if they are set, else
    the one that runs on the data folder of this machine. Errors are those of
    ``hpsearch.errors``; a server that does not answer is
    :class:`~hpsearch.errors.Unavailable`. Every call may be repeated safely and is repeated, with
    growing waits, when its answer is lost.

    Args:
        url: Where the server listens.
        token: What it is shown; default: the configured one, or the data folder's.
        timeout_s: Longest wait for one answer.
        transport: Replaces the network in tests.
        sleep: Waits between two tries and two looks.

    Attributes:
        url: Where the server listens.
        token: What it is shown.
        datasets: Its data sets: list, add, remove.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if url is None:
            address = find_address(read_settings())
            url, token = address.url, token or address.token
        elif token is None:
            token = find_token(read_settings(), url)
        self.url = url.rstrip("/")
        self.token = token
        self._sleep = sleep
        self._connection = Connection(self.url, token, timeout_s, transport, sleep)
        self.datasets = Datasets(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    # studies

    def submit(self, definition: Source, *, new: bool = False) -> StudyView:
        """Create a study, or attach to the one of this name and definition (and resume it).

        Args:
            definition: A mapping, YAML or JSON text, or the path of a file.
            new: Never attach; if the name is taken, append ``-2``, ``-3`` and so on.

        Raises:
            InvalidDefinition: All its wrong fields.
            NameTaken: The name belongs to a study with another definition.
        """
        return self.hand_in(read_draft(definition), new=new).study

    def hand_in(self, draft: Draft, *, new: bool = False) -> Submission:
        """Do as :meth:`submit`, and tell whether the study is new."""
        return hand_in(self, draft, new=new)

    def create(self, draft: Draft, *, idempotency_key: str | None = None) -> StudyView:
        """Create a study, exactly one, however often the request has to be sent.

        Raises:
            NameTaken: A study has this name, whatever its definition.
        """
        body, media_type = draft.body()
        answer = self._connection.request(
            "POST",
            "/v1/studies",
            body=body,
            headers={
                "content-type": media_type,
                "idempotency-key": idempotency_key or uuid.uuid4().hex,
            },
        )
        return decode(StudyView, answer)

    def validate(self, definition: Source) -> Validation:
        """Return what the definition means, and create nothing.

        Raises:
            InvalidDefinition: All its wrong fields.
        """
        return self.check(read_draft(definition))

    def check(self, draft: Draft) -> Validation:
        """Do as :meth:`validate` with what was read already."""
        try:
            return self._validate(draft)
        except InvalidDefinition as error:
            raise draft.located(error) from None

    def normalise(self, draft: Draft) -> dict[str, Any]:
        """Return the definition with all defaults filled in."""
        return self._validate(draft).definition

    def _validate(self, draft: Draft) -> Validation:
        body, media_type = draft.body()
        answer = self._connection.request(
            "POST", "/v1/studies:validate", body=body, headers={"content-type": media_type}
        )
        return decode(Validation, answer)

    def studies(
        self, *, state: StudyState | str | None = None, tag: str | None = None
    ) -> Iterator[StudyView]:
        """Yield all studies, page by page, newest first as the server orders them."""
        return self._pages("/v1/studies", "studies", StudyView, {"state": state, "tag": tag})

    def study(self, name: str) -> StudyView:
        """Return one study.

        Raises:
            StudyNotFound: There is none of this name.
        """
        return decode(StudyView, self._connection.request("GET", _study(name)))

    def wait(
        self,
        name: str,
        *,
        on_update: Callable[[StudyView], None] | None = None,
        poll_s: float = 1.0,
    ) -> StudyView:
        """Return the study once it has ended, whatever its end.

        Args:
            name: The study.
            on_update: Called with the study at first and whenever it has changed.
            poll_s: Time between two looks.

        Raises:
            Unavailable: The server was gone for a minute.
        """
        seen: StudyView | None = None
        for study in self.looks(lambda: self.study(name), poll_s=poll_s):
            if on_update is not None and study != seen:
                on_update(study)
            seen = study
            if study.state.has_ended:
                break
        if seen is None:  # pragma: no cover - looks() yields before it ends
            raise StudyNotFound(name)
        return seen

    def looks(self, look: Callable[[], View], *, poll_s: float) -> Iterator[View]:
        """Yield ``look()`` again and again; a server that restarts in between is waited for.

        Raises:
            Unavailable: The server was gone for a minute.
        """
        answered_at = time.monotonic()
        has_answered = False
        while True:
            try:
                value = look()
            except Unavailable:
                if not has_answered or time.monotonic() - answered_at > OUTAGE_S:
                    raise
            else:
                answered_at, has_answered = time.monotonic(), True
                yield value
            self._sleep(poll_s)

    def pause(self, name: str) -> StudyView:
        """Hand running trials back at their epoch's end; nothing is lost."""
        return self._verb(name, "pause")

    def resume(self, name: str) -> StudyView:
        """Let a PAUSED, STOPPING or STOPPED study go on."""
        return self._verb(name, "resume")

    def stop(self, name: str) -> StudyView:
        """Start no more trials; running ones finish."""
        return self._verb(name, "stop")

    def cancel(self, name: str) -> StudyView:
        """End the study by the running epochs' end."""
        return self._verb(name, "cancel")

    def change(self, name: str, patch: Mapping[str, Any]) -> StudyView:
        """Change limits, weight, description or tags of a study, whatever its state.

        Args:
            name: The study.
            patch: ``{"limits": {"max_trials": 50, "timeout_s": None}}``; None removes a limit.

        Raises:
            RequestInvalid: All wrong fields.
        """
        return decode(StudyView, self._connection.request("PATCH", _study(name), body=dict(patch)))

    def delete(self, name: str) -> None:
        """Delete the study with its trials and artifacts.

        Raises:
            WrongState: It is still ACTIVE.
        """
        self._connection.request("DELETE", _study(name))

    # trials

    def trials(
        self,
        name: str,
        *,
        state: TrialState | str | None = None,
        origin: Origin | str | None = None,
        order_by: str = "number",
        page_size: int = PAGE_SIZE,
    ) -> Iterator[TrialSummary]:
        """Yield the trials of a study, page by page.

        Args:
            name: The study.
            state: Only those in this state.
            origin: Only those whose point came from there.
            order_by: ``number``, ``-number``, ``value`` (best first) or ``-value``.
            page_size: Trials fetched at once.
        """
        query = {"state": state, "origin": origin, "order_by": order_by}
        path = f"{_study(name)}/trials"
        return self._pages(path, "trials", TrialSummary, query, page_size)

    def trial(self, name: str, number: int) -> TrialView:
        """Return one trial with its config and its attempts."""
        answer = self._connection.request("GET", f"{_study(name)}/trials/{int(number)}")
        return decode(TrialView, answer)

    def enqueue(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        from_trial: int | None = None,
        count: int = 1,
    ) -> list[TrialSummary]:
        """Add trials at a point; they are trained before new ones are sampled.

        Args:
            name: The study.
            params: Values by parameter; missing ones are sampled.
            from_trial: The number of a trial with the same point, instead of ``params``.
            count: How many; same point, other seeds.

        Raises:
            RequestInvalid: The point is outside the space.
            WrongState: The study is ending, or its limit leaves no room.
        """
        wish: dict[str, Any] = {"count": count}
        if from_trial is not None:
            wish["from_trial"] = from_trial
        if params is not None or from_trial is None:
            wish["params"] = dict(params or {})
        answer = self._once(f"{_study(name)}/trials", wish)
        return [decode(TrialSummary, row) for row in answer["trials"]]

    def stop_trial(self, name: str, number: int) -> TrialView:
        """Have a trial end at its next epoch as COMPLETE."""
        path = f"{_study(name)}/trials/{int(number)}:stop"
        return decode(TrialView, self._connection.request("POST", path))

    def retry_trial(self, name: str, number: int) -> TrialSummary:
        """Add a trial at the point of one that failed; ``max_trials`` grows by one.

        Raises:
            WrongState: The trial is not FAIL, or the study has ended for good.
        """
        return decode(TrialSummary, self._once(f"{_study(name)}/trials/{int(number)}:retry"))

    def epochs(self, name: str, number: int) -> list[EpochView]:
        """Return everything measured in every epoch of one trial."""
        rows = self._rows(f"{_study(name)}/trials/{int(number)}/epochs", "epochs", {}, 1000)
        return [decode_epoch(row, number) for row in rows]

    def curves(
        self,
        name: str,
        *,
        numbers: Sequence[int] | None = None,
        metric: str | None = None,
        points: int | None = None,
    ) -> list[EpochView]:
        """Return epochs of many trials of a study, fetched page by page.

        Args:
            name: The study.
            numbers: Only of these trials.
            metric: Only this metric.
            points: At most this many epochs a trial, its first and last among them; 100 if not
                given, 10,000 at most.
        """
        query = {"number": numbers, "metric": metric, "points": points}
        rows = self._rows(f"{_study(name)}/epochs", "epochs", query, None)
        return [decode_epoch(row) for row in rows]

    def best_trials(self, name: str) -> list[TrialSummary]:
        """Return the best trial, or the Pareto front where there are several objectives."""
        path = f"{_study(name)}/best-trials"
        return list(self._pages(path, "trials", TrialSummary, {}, None))

    def model(self, name: str, number: int, *, form: str = "safetensors") -> bytes:
        """Return the file of a trial's trained network.

        Args:
            name: The study.
            number: The trial, COMPLETE.
            form: ``safetensors``, or ``onnx`` where the server has the library.

        Raises:
            ModelNotFound: The trial has none.
        """
        path = f"{_study(name)}/trials/{int(number)}/model"
        return self._connection.fetch(path, params={"format": form})

    def trials_csv(self, name: str) -> str:
        """Return all trials as CSV."""
        return self._connection.fetch(f"{_study(name)}/trials.csv").decode()

    def best(self, name: str) -> TrialSummary | None:
        """Return the best trial, None while none is COMPLETE; the first of a Pareto front."""
        return next(iter(self.best_trials(name)), None)

    def trials_frame(self, name: str) -> Any:
        """Return all trials as a ``pandas.DataFrame``: a row a trial, its number as index.

        Columns are ``state``, ``origin``, the parameters, the objectives, ``test_<metric>``,
        ``epochs``, ``best_epoch``, ``stopped_early``, ``n_parameters``, ``device_seconds``, the
        times, ``failure`` and ``pruned_by``.

        Raises:
            NotInstalled: pandas is not installed.
        """
        return frame_of(self.trials(name, page_size=1000))

    def events(self, name: str, *, after: int | None = None) -> Iterator[Event]:
        """Yield what happens in a study, as it happens, until the study has ended.

        The first event is the study as it is. A broken connection is opened again, and the
        server goes on after the last event: an event may come twice, none is lost.

        Args:
            name: The study.
            after: The id of the last event that was read; 0 begins at the study's start.

        Raises:
            StudyNotFound: There is no such study.
            Unavailable: The server was gone for a minute.
        """
        return listen(self._connection, f"{_study(name)}/events", after, self._sleep)

    # the service

    def workers(self) -> list[WorkerView]:
        """Return the workers that were heard of lately, and what they train."""
        return list(self._pages("/v1/workers", "workers", WorkerView, {}, None))

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of a study definition."""
        return decode(dict[str, Any], self._connection.request("GET", "/v1/schema"))

    def health(self) -> dict[str, Any]:
        """Return what the server says of itself; needs no token."""
        return decode(dict[str, Any], self._connection.request("GET", "/healthz"))

    def login_link(self) -> str:
        """Return the address that opens the pages in a browser, the token included."""
        return f"{self.url}/login?token={quote(self.token, safe='')}" if self.token else self.url

    def _verb(self, name: str, verb: str) -> StudyView:
        return decode(StudyView, self._connection.request("POST", f"{_study(name)}:{verb}"))

    def _once(self, path: str, body: Any = None) -> Any:
        """Send a request that creates something, once however often it has to be repeated."""
        key = {"idempotency-key": uuid.uuid4().hex}
        return self._connection.request("POST", path, body=body, headers=key)

    def _pages(
        self,
        path: str,
        key: str,
        view: type[View],
        query: Mapping[str, Any],
        page_size: int | None = PAGE_SIZE,
    ) -> Iterator[View]:
        for row in self._rows(path, key, query, page_size):
            yield decode(view, row)

    def _rows(
        self, path: str, key: str, query: Mapping[str, Any], page_size: int | None
    ) -> Iterator[dict[str, Any]]:
        page_token: str | None = None
        while True:
            params = {**query, "limit": page_size, "page_token": page_token}
            page = self._connection.request("GET", path, params=params)
            yield from page[key]
            page_token = page.get("next_page_token")
            if page_token is None:
                return


def _study(name: str) -> str:
    # a name no study can have must not reach the path, where it could mean something else
    if not _NAME.fullmatch(name):
        raise StudyNotFound(name)
    return f"/v1/studies/{name}"
