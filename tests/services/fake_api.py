"""The API as its contract describes it, in memory: what the client and the shell talk to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

TOKEN = "a-token"
EARLY = "2026-01-01T10:00:00Z"
LATER = "2026-01-01T10:05:00Z"
Answer = tuple[int, Any]


def trial(number: int, state: str = "COMPLETE", **changes: Any) -> dict[str, Any]:
    is_complete = state == "COMPLETE"
    return {
        "number": number,
        "state": state,
        "origin": "sampled",
        "params": {"optimizer.learning_rate": 0.01 * (number + 1), "model.hidden_units[0]": 64},
        "values": {"val_accuracy": 0.9 + number / 1000} if is_complete else None,
        "test": {"accuracy": 0.89, "loss": 0.3} if is_complete else None,
        "epochs": 20 if is_complete else 3,
        "best_epoch": 18 if is_complete else None,
        "stopped_early": False,
        "n_parameters": 4810,
        "device_seconds": 1.25,
        "failure": None,
        "pruned": None,
        "created_at": EARLY,
        "started_at": EARLY,
        "finished_at": LATER if state in {"COMPLETE", "PRUNED", "FAIL"} else None,
        **changes,
    }


def study(name: str, trials: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    def count(state: str) -> int:
        return sum(t["state"] == state for t in trials)

    complete = [t for t in trials if t["state"] == "COMPLETE"]
    n_finished = len(complete) + count("PRUNED") + count("FAIL")
    return {
        "name": name,
        "state": "ACTIVE",
        "state_reason": None,
        "definition": {
            "name": name,
            "dataset": {"name": "digits"},
            "training": {"epochs": 20},
            "objectives": [{"metric": "val_accuracy"}],
        },
        "description": "",
        "tags": [],
        "counts": {
            "waiting": count("WAITING"),
            "running": count("RUNNING"),
            "complete": len(complete),
            "pruned": count("PRUNED"),
            "fail": count("FAIL"),
        },
        "best_trials": sorted(complete, key=_value)[-1:],
        "progress": {
            "finished": n_finished,
            "max_trials": 20,
            "fraction": n_finished / 20,
            "eta_s": None,
        },
        "usage": {
            "device_seconds": 2.5,
            "completed": 2.5,
            "pruned": 0.0,
            "failed": 0.0,
            "lost": 0.0,
            "running": 0.0,
            "saved": 0.0,
        },
        "warnings": [],
        "owner": "admin",
        "weight": 1.0,
        "created_at": EARLY,
        "updated_at": EARLY,
        "finished_at": None,
        "preflight": None,
        **changes,
    }


def problem(status: int, code: str, detail: str, **fields: Any) -> Answer:
    return status, {
        "type": f"/problems/{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "instance": "/v1",
        **fields,
    }


class FakeApi:
    """Studies, trials and verbs in memory; remembers the requests.

    A test changes ``studies`` and ``trials`` directly, and puts answers (or exceptions) into
    ``next_answers`` that are given first.
    """

    def __init__(self) -> None:
        self.studies: dict[str, dict[str, Any]] = {}
        self.trials: dict[str, list[dict[str, Any]]] = {}
        self.epochs: dict[int, list[dict[str, Any]]] = {}
        self.workers: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, list[str]], dict[str, str], Any]] = []
        self.next_answers: list[Answer | Exception | None] = []
        self.told: list[list[tuple[int, str, dict[str, Any]]]] = []  # a list a connection
        self._keys: dict[str, str] = {}

    def add(self, name: str, trials: list[dict[str, Any]] | None = None, **changes: Any) -> None:
        self.trials[name] = trials or []
        self.studies[name] = study(name, self.trials[name], **changes)

    def transport(self) -> httpx.MockTransport:
        def respond(request: httpx.Request) -> httpx.Response:
            planned = self.next_answers.pop(0) if self.next_answers else None
            if isinstance(planned, Exception):
                raise planned
            text = request.content.decode()
            status, value = planned or self.answer(
                request.method, str(request.url), dict(request.headers), text
            )
            if isinstance(value, str):
                return httpx.Response(status, text=value)
            kind = "application/problem+json" if status >= 400 else "application/json"
            content = b"" if value is None else json.dumps(value).encode()
            return httpx.Response(status, content=content, headers={"content-type": kind})

        return httpx.MockTransport(respond)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve on a port of this machine; yields the URL."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _respond(self) -> None:
                text = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, value = api.answer(self.command, self.path, headers, text)
                content = b"" if value is None else json.dumps(value).encode()
                kind = "application/problem+json" if status >= 400 else "application/json"
                if isinstance(value, str):
                    content, kind = value.encode(), "text/event-stream"
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _respond  # noqa: N815 - names of http.server

            def log_message(self, *args: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, url: str, headers: dict[str, str], text: str) -> Answer:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        is_json = headers.get("content-type") == "application/json"
        body = json.loads(text) if text and is_json else text
        self.requests.append((method, parts.path, query, headers, body))
        if parts.path == "/healthz":
            return 200, {"status": "ok", "version": "0.1.0"}
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthorized", "this token is not valid here")
        if parts.path == "/v1/studies":
            return self._create(headers, body) if method == "POST" else self._list(query)
        if parts.path == "/v1/workers":
            return 200, {"workers": self.workers, "next_page_token": None}
        if parts.path == "/v1/studies:validate":
            return self._validate(body)
        rest = parts.path.removeprefix("/v1/studies/").split("/")
        name, _, verb = rest[0].partition(":")
        if name not in self.studies:
            return problem(404, "not-found", f"there is no study named {name!r}", study=name)
        if verb:
            return self._verb(name, verb)
        if method == "DELETE":
            del self.studies[name]
            return 204, None
        if method == "PATCH" and isinstance(body, dict):
            self.studies[name]["definition"].setdefault("limits", {}).update(body["limits"])
            return 200, self.studies[name]
        if method == "POST":
            return self._add(name, rest[1:], body)
        return self._read(name, rest[1:], query)

    def _create(self, headers: dict[str, str], body: Any) -> Answer:
        key = headers["idempotency-key"]
        if key in self._keys:
            return 200, self.studies[self._keys[key]]
        status, checked = self._validate(body)
        if status != 200:
            return status, checked
        name = body["name"]
        if name in self.studies:
            return problem(409, "name-taken", f"the name {name!r} is taken", study=name)
        self._keys[key] = name
        self.add(name, definition=checked["definition"])
        return 201, self.studies[name]

    def _validate(self, body: Any) -> Answer:
        if isinstance(body, str):  # YAML: another test's matter
            return 200, {"definition": {}, "size": None, "warnings": []}
        if isinstance(body, dict) and "name" in body and "typo" not in body:
            filled = {"seed": 0, **body}
            return 200, {"definition": filled, "size": 12, "warnings": ["no GPU is alive"]}
        errors = [
            {"loc": ["typo"], "msg": "must be a list", "input": 3},
            {"loc": ["name"], "msg": "missing", "input": None},
        ]
        return problem(422, "definition-invalid", "two errors", errors=errors)

    def _list(self, query: dict[str, list[str]]) -> Answer:
        state = query.get("state", [None])[0]
        found = [s for s in self.studies.values() if state in {None, s["state"]}]
        return self._page("studies", found, query)

    def _add(self, name: str, rest: list[str], body: Any) -> Answer:
        """Add trials, retry one, stop one."""
        trials = self.trials[name]
        if rest == ["trials"]:
            first = len(trials)
            new = [trial(first + i, "WAITING", origin="user") for i in range(body["count"])]
            trials += new
            return 201, {"trials": new}
        number, _, verb = rest[1].partition(":")
        if verb == "stop":
            return 200, {**trials[int(number)], "config": {}, "attempts": []}
        trials.append(trial(len(trials), "WAITING", origin="retry"))
        return 201, trials[-1]

    def _verb(self, name: str, verb: str) -> Answer:
        states = {"pause": "PAUSED", "resume": "ACTIVE", "stop": "STOPPED", "cancel": "CANCELLED"}
        if self.studies[name]["state"] == "COMPLETED" and verb in {"pause", "resume"}:
            detail = f"cannot {verb} study {name!r}: it is COMPLETED"
            fields = {"study": name, "state": "COMPLETED", "verb": verb}
            return problem(409, "wrong-state", detail, **fields)
        self.studies[name] |= {"state": states[verb], "state_reason": "USER"}
        return 200, self.studies[name]

    def _read(self, name: str, rest: list[str], query: dict[str, list[str]]) -> Answer:
        trials = self.trials[name]
        match rest:
            case []:
                return 200, self.studies[name]
            case ["trials"]:
                state = query.get("state", [None])[0]
                found = [t for t in trials if state in {None, t["state"]}]
                order = query.get("order_by", ["number"])[0]
                key = _value if order.endswith("value") else _number
                is_reversed = order in {"-number", "value"}
                return self._page("trials", sorted(found, key=key, reverse=is_reversed), query)
            case ["trials", number]:
                if int(number) >= len(trials):
                    detail = f"study {name!r} has no trial {number}"
                    return problem(404, "not-found", detail, study=name, number=int(number))
                attempt = {
                    "number": 1,
                    "state": "SUCCEEDED",
                    "worker": "host:cpu0",
                    "device": "cpu:0",
                    "precision": "exact",
                    "started_at": EARLY,
                    "finished_at": LATER,
                    "device_seconds": 1.25,
                }
                return 200, {**trials[int(number)], "config": {}, "attempts": [attempt]}
            case ["trials", number, "epochs"]:
                return self._page("epochs", self.epochs.get(int(number), []), query)
            case ["epochs"]:
                wanted = [int(number) for number in query.get("number", [])]
                rows = [{"number": n, **row} for n in wanted for row in self.epochs.get(n, [])]
                return 200, {"epochs": rows, "next_page_token": None}
            case ["events"]:
                return 200, self._told(name)
            case ["best-trials"]:
                best = self.studies[name]["best_trials"]
                return 200, {"trials": best, "next_page_token": None}
            case _:
                return problem(404, "not-found", "there is nothing at this address")

    def _told(self, name: str) -> str:
        """Return the stream of the next connection."""
        whole = {k: v for k, v in self.studies[name].items() if k != "definition"}
        told = self.told.pop(0) if self.told else [(9, "study", whole)]
        return "".join(
            f"event: {kind}\nid: {id_}\ndata: {json.dumps({'study': name, **data})}\n\n"
            for id_, kind, data in told
        )

    def _page(self, key: str, found: list[Any], query: dict[str, list[str]]) -> Answer:
        start = int(query.get("page_token", ["0"])[0])
        end = start + int(query["limit"][0])
        token = str(end) if end < len(found) else None
        return 200, {key: found[start:end], "next_page_token": token}


def _number(row: dict[str, Any]) -> int:
    return int(row["number"])


def _value(row: dict[str, Any]) -> float:
    return float((row["values"] or {}).get("val_accuracy", 0.0))
