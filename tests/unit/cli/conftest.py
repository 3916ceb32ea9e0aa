"""The `hpsearch` command inside this process, against the API in memory."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hpsearch.cli.main import main
from tests.services.fake_api import TOKEN, FakeApi


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Shell = Callable[..., Done]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    api = FakeApi()
    with api.listening() as url:
        monkeypatch.setenv("HPSEARCH_URL", url)
        monkeypatch.setenv("HPSEARCH_TOKEN", TOKEN)
        yield api


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setattr("hpsearch.cli.signals.listen", lambda: None)  # the runner's own signals
    monkeypatch.setattr("hpsearch.cli.following.POLL_S", 0.001)
    monkeypatch.setattr("hpsearch.client.http.FIRST_WAIT_S", 0.001)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["hpsearch", *(str(a) for a in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, said.out, said.err)

    return run
