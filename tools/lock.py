"""Write the lock files from what is installed in this environment.

    .venv/bin/python tools/lock.py

``requirements.lock`` holds what the product needs to run and to be built,
``requirements-test.lock`` what the gate needs on top. Versions are exact; a local part (the
``+cpu`` of a torch build) is dropped, so that every index may offer its own build. What a package
needs on another platform only is not listed: pip finds it, as it does the GPU libraries.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
HEADER = "# Written by tools/lock.py (`make lock`); do not edit.\n"


def closure(roots: Iterable[str]) -> dict[str, str]:
    """Return pinned lines by package name: the roots and all they need here.

    Args:
        roots: Requirements as ``pyproject.toml`` writes them; a marker of a root is kept.

    Raises:
        SystemExit: Something required is not installed.
    """
    pinned: dict[str, str] = {}
    waiting = [(Requirement(root), True) for root in roots]
    while waiting:
        requirement, is_root = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            sys.exit(f"{requirement} is not installed; run `make install-test` first")
        if not requirement.specifier.contains(found.version, prereleases=True):
            sys.exit(f"{name} {found.version} does not satisfy {requirement}")
        is_new = name not in pinned
        if is_new or is_root:
            marker = f" ; {requirement.marker}" if is_root and requirement.marker else ""
            pinned[name] = f"{name}=={Version(found.version).public}{marker}"
        if is_new or requirement.extras:
            waiting += [
                (needed, False)
                for needed in map(Requirement, found.requires or ())
                if is_wanted(needed, requirement.extras)
            ]
    return pinned


def is_wanted(requirement: Requirement, extras: set[str]) -> bool:
    """Return whether a dependency applies here, with these extras of its owner."""
    if requirement.marker is None:
        return True
    if any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
        requirement.marker = None
        return True
    return False


def main() -> None:
    """Write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["build-system"]["requires"]
    runtime = closure([*project["project"]["dependencies"], *build])
    tests = closure(project["project"]["optional-dependencies"]["test"])
    only_tests = {name: line for name, line in tests.items() if name not in runtime}
    for path, lines, first in (
        ("requirements.lock", runtime, ""),
        ("requirements-test.lock", only_tests, "-r requirements.lock\n"),
    ):
        text = HEADER + first + "".join(f"{line}\n" for _, line in sorted(lines.items()))
        if re.search(r"==[^;\s]*\+", text):
            sys.exit(f"{path}: a local version survived")
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
