"""Generated pages say what the code says, and no page points nowhere."""

import re
from pathlib import Path

import pytest

from tools import search_reference, settings_reference

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)")


def test_the_settings_page_is_what_the_settings_class_says() -> None:
    page = settings_reference.PAGE.read_text()
    assert page == settings_reference.reference(), "run `make docs`"


def test_the_page_of_samplers_and_pruners_is_what_their_classes_say() -> None:
    page = search_reference.PAGE.read_text()
    assert page == search_reference.reference(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page}: {target}"
