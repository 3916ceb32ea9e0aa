"""What the pages and examples tell users to write works as written."""

import re
from pathlib import Path

import pytest
import typer.main

from hpsearch.catalog import installed_catalog
from hpsearch.cli.main import app
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.sections import DatasetInfo, Task
from hpsearch.spec.yaml import load_yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?:^|[`/ ])hpsearch ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)


HOUSING = DatasetInfo(  # what examples/housing.yaml tells its user to upload
    name="housing",
    task=Task.REGRESSION,
    input_shape=(8,),
    n_outputs=1,
    has_test_split=False,
    description="an upload",
    n_examples=20_640,
)


def parsed(text: str) -> Definition:
    raw, lines = load_yaml(text)
    return parse_definition(raw, installed_catalog().with_datasets([HOUSING]), lines)


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_valid_definition_without_warnings(path: Path) -> None:
    assert parsed(path.read_text()).warnings == ()


def test_the_definition_in_the_readme_is_valid() -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert parsed(text).name == "first-search"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_a_page_shows_exists(page: Path) -> None:
    command = typer.main.get_command(app)
    known = getattr(command, "commands")  # noqa: B009 - a group, which the type does not say
    shown = [match for body in blocks(page, "console") for match in COMMAND.findall(body)]
    for name, sub in shown:
        assert name in known, f"hpsearch {name}"
        if hasattr(known[name], "commands"):
            assert sub in known[name].commands, f"hpsearch {name} {sub}"
