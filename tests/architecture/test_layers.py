"""The contracts of ``pyproject.toml`` on who imports whom are kept."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_import_follows_the_layers_and_every_library_has_its_rooms() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_inits_of_all_rooms_hold_one_docstring_and_nothing_else() -> None:
    for path in (ROOT / "hpsearch").rglob("__init__.py"):
        if path.parent == ROOT / "hpsearch":
            continue  # may hold the version
        lines = path.read_text().strip().splitlines()
        assert len(lines) == 1, path
        assert lines[0].startswith('"""'), path
        assert lines[0].endswith('."""'), path
