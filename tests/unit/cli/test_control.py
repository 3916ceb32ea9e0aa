"""Commands that change a study, and the frame around all commands."""

import io
import json
from pathlib import Path

import pytest

from tests.services.fake_api import FakeApi, trial
from tests.unit.cli.conftest import Shell


@pytest.mark.parametrize(
    ("verb", "state"),
    [("pause", "PAUSED"), ("resume", "ACTIVE"), ("stop", "STOPPED"), ("cancel", "CANCELLED")],
)
def test_a_verb_prints_the_new_state(api: FakeApi, shell: Shell, verb: str, state: str) -> None:
    api.add("digits")

    assert shell(verb, "digits").out.strip() == f"digits: {state} (USER)"
    assert json.loads(shell(verb, "digits", "--json").out)["state"] == state


def test_stop_with_a_number_ends_one_trial_and_leaves_the_study(
    api: FakeApi, shell: Shell
) -> None:
    api.add("digits", [trial(0), trial(1, "RUNNING")])

    assert shell("stop", "digits", "1").out.strip() == "digits: trial 1 ends at its next epoch"
    assert shell("stop", "digits", "0").out.strip() == "digits: trial 0 is COMPLETE"
    assert api.studies["digits"]["state"] == "ACTIVE"


def test_a_verb_that_does_not_apply_exits_2(api: FakeApi, shell: Shell) -> None:
    api.add("digits", state="COMPLETED")

    done = shell("pause", "digits")

    assert done.code == 2
    assert "it is COMPLETED" in done.err


def test_delete_without_a_terminal_does_not_ask(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    api.add("digits")

    assert shell("delete", "digits").code == 0
    assert api.studies == {}


def test_delete_on_a_terminal_wants_a_yes(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO("n\ny\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    api.add("digits")

    assert shell("delete", "digits").code == 1
    assert "digits" in api.studies
    assert shell("delete", "digits").code == 0
    assert api.studies == {}


def test_a_wrong_token_exits_2_and_names_the_setting(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_TOKEN", "wrong-secret")

    done = shell("studies")

    assert done.code == 2
    assert "HPSEARCH_TOKEN" in done.err
    assert "wrong-secret" not in done.err


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["show"], ["trials", "x", "--limit", "0"], ["run", "--bad"]]
)
def test_wrong_usage_exits_2(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments).code == 2


def test_version_is_printed(shell: Shell) -> None:
    done = shell("--version")

    assert done.code == 0
    assert done.out.startswith("hpsearch 0.")


def test_ctrl_c_exits_130(api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpsearch.cli.following.follow", interrupt)
    api.add("digits")

    assert shell("watch", "digits").code == 130


def test_a_broken_setting_is_a_usage_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_URL", "ftp://x")
    monkeypatch.setenv("HPSEARCH_TOKEN", "my-secret")

    done = shell("studies")

    assert done.code == 2
    assert "HPSEARCH_URL" in done.err
    assert "my-secret" not in done.err


def test_the_token_and_the_login_link_can_be_printed(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shell("token", "show").out == "a-token\n"
    assert shell("token", "link").out.strip().endswith("/login?token=a-token")

    monkeypatch.delenv("HPSEARCH_TOKEN")
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    (tmp_path / "token").write_text("from-the-folder\n")
    assert shell("token", "show").out == "from-the-folder\n"
