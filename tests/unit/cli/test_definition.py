"""Commands around a study definition, and the exit codes of what goes wrong."""

import io
import json
from pathlib import Path

import pytest

from hpsearch.spec.yaml import load_yaml
from tests.services.fake_api import FakeApi, trial
from tests.unit.cli.conftest import Shell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text("dataset: {name: digits}\n")
    return path


def test_submit_creates_a_study_called_like_the_file(
    api: FakeApi, shell: Shell, path: Path
) -> None:
    done = shell("submit", path)

    assert done.code == 0
    assert list(api.studies) == ["search"]
    assert "search: created, ACTIVE" in done.out
    assert "hpsearch watch search" in done.out


def test_submit_again_attaches(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)

    done = shell("submit", path)

    assert done.code == 0
    assert "exists with this definition" in done.out


def test_submit_again_resumes_a_paused_study(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)
    shell("pause", "search")

    done = shell("submit", path)

    assert "resumed" in done.out
    assert api.studies["search"]["state"] == "ACTIVE"


def test_another_definition_under_the_name_exits_2(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)
    path.write_text("dataset: {name: mnist}\n")

    done = shell("submit", path)

    assert done.code == 2
    assert "'search' exists with another definition" in done.err
    assert "--new" in done.err


def test_new_makes_a_second_study(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)

    done = shell("submit", path, "--new", "--json")

    assert json.loads(done.out)["name"] == "search-2"


def test_submit_and_watch_ends_with_the_study(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)
    api.add("search", [trial(0)], definition=api.studies["search"]["definition"], state="FAILED")

    done = shell("submit", path, "--watch")

    assert done.code == 1
    assert "search is FAILED" in done.out


def test_every_wrong_field_is_listed_with_its_line(api: FakeApi, shell: Shell, path: Path) -> None:
    path.write_text("dataset: {name: digits}\ntypo: 3\n")

    done = shell("submit", path)

    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines() == [
        f"hpsearch: invalid definition in {path}: 2 errors",
        "  typo (line 2): must be a list, got 3",
        "  name: missing",
    ]


@pytest.mark.parametrize("command", ["submit", "validate", "run"])
def test_text_that_is_no_yaml_exits_2_and_names_file_and_line(
    api: FakeApi, shell: Shell, path: Path, command: str
) -> None:
    path.write_text("name: [1,\n")

    done = shell(command, path)

    assert done.code == 2
    assert str(path) in done.err
    assert "line" in done.err


def test_a_file_that_is_not_there_exits_2(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    done = shell("submit", tmp_path / "absent.yaml")

    assert done.code == 2
    assert "absent.yaml: No such file" in done.err


def test_a_definition_may_come_from_standard_input(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("name: piped\n"))

    shell("submit", "-")

    assert list(api.studies) == ["piped"]


def test_validate_tells_the_size_and_creates_nothing(
    api: FakeApi, shell: Shell, path: Path
) -> None:
    done = shell("validate", path)

    assert done.code == 0
    assert "12 points" in done.out
    assert "no GPU is alive" in done.out
    assert api.studies == {}


def test_run_uses_the_configured_server(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)
    trials = [trial(n) for n in range(6)]
    definition = api.studies["search"]["definition"]
    api.add("search", trials, definition=definition, state="COMPLETED")

    done = shell("run", path)

    assert done.code == 0
    for part in ("search is COMPLETED", "best trial", "Top 5 of 6", "/studies/search"):
        assert part in done.out


def test_no_token_is_printed_where_no_terminal_is(api: FakeApi, shell: Shell, path: Path) -> None:
    shell("submit", path)
    api.add("search", [trial(0)], definition=api.studies["search"]["definition"])
    api.studies["search"]["state"] = "COMPLETED"

    assert "a-token" not in shell("run", path).out


def test_an_unreachable_server_exits_3_and_says_what_to_do(
    shell: Shell, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_URL", "http://127.0.0.1:9")

    for command in (["studies"], ["submit", path], ["run", path], ["watch", "digits"]):
        done = shell(*command)
        assert done.code == 3
        assert "hpsearch up" in done.err


def test_without_any_server_submit_exits_3(shell: Shell, path: Path) -> None:
    done = shell("submit", path)

    assert done.code == 3
    assert "hpsearch up" in done.err


def test_init_writes_an_example_and_never_overwrites(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert shell("init").code == 0
    document, _ = load_yaml((tmp_path / "study.yaml").read_bytes())
    assert isinstance(document, dict)
    (tmp_path / "study.yaml").write_text("mine")
    again = shell("init")

    assert again.code == 2
    assert "exists" in again.err
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_the_example_is_valid_without_any_server(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell("init", "first.yaml")

    done = shell("validate", "first.yaml", "--json")

    assert done.code == 0, done.err
    assert json.loads(done.out)["definition"]["name"] == "first"


def test_validate_without_any_server_names_all_mistakes(shell: Shell, path: Path) -> None:
    path.write_text("dataset: {name: digitz}\nmodel: {family: mlp, widht: .nan}\n")

    done = shell("validate", path)

    assert done.code == 2
    for part in ("dataset.name (line 1)", "model.widht (line 2)", "optimizer"):
        assert part in done.err


def test_the_schema_needs_no_server(shell: Shell) -> None:
    assert json.loads(shell("schema").out)["type"] == "object"


def test_init_where_nothing_can_be_written_exits_2(shell: Shell, tmp_path: Path) -> None:
    assert shell("init", tmp_path / "no" / "folder.yaml").code == 2


def test_an_unknown_data_set_may_be_known_to_a_server(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: x\ndataset: {name: housing}\nmodel: {family: mlp}\noptimizer: {name: sgd}\n"
        "limits: {max_trials: 1}\n"
    )
    done = shell("validate", path)
    assert done.code == 2
    assert "running server" in done.err
