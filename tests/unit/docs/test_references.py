"""Generated pages say what the code says, and no page points nowhere."""

import re
from pathlib import Path

import pytest

from tools import definition_reference, search_reference, settings_reference

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)")


def test_the_settings_page_is_what_the_settings_class_says() -> None:
    page = settings_reference.PAGE.read_text()
    assert page == settings_reference.reference(), "run `make docs`"


def test_the_page_of_samplers_and_pruners_is_what_their_classes_say() -> None:
    page = search_reference.PAGE.read_text()
    assert page == search_reference.reference(), "run `make docs`"


def test_the_page_of_definitions_is_what_their_classes_say() -> None:
    page = definition_reference.PAGE.read_text()
    assert page == definition_reference.reference(), "run `make docs`"


def test_every_field_of_a_definition_is_explained() -> None:
    rows = [line for line in definition_reference.reference().splitlines() if "| `" in line]
    assert [row for row in rows if row.rstrip(" |") != row[:-2]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page}: {target}"
