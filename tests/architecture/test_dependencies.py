"""What the code imports is declared, and what is declared is locked."""

import ast
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
BUILD = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
TESTS = [Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["test"]]
OPTIONAL = [
    Requirement(text)
    for extra, texts in PROJECT["project"]["optional-dependencies"].items()
    if extra != "test"
    for text in texts
]
COME_ALONG = {"anyio", "h11", "markupsafe", "scipy", "starlette", "typing-extensions"}  # for good
# comes with torch where there is a GPU; the module is imported where it is found, and only then
FOUND_OR_NOT = {
    f"hpsearch/{path}.py": {"triton"}
    for path in (
        "layers/compiler",
        *(f"layers/kernels/{part}" for part in ("cell_parts", "cells", "dropout")),
        *(f"layers/kernels/{cell}" for cell in ("gru", "lstm", "vanilla")),
        *(f"training/kernels/{part}" for part in ("batch", "loss", "update")),
    )
}


def locked(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {canonicalize_name(pin.name): pin for pin in pins}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_every_library_the_package_imports_is_a_declared_dependency() -> None:
    always = {canonicalize_name(requirement.name) for requirement in RUNTIME} | COME_ALONG
    optional = {canonicalize_name(requirement.name) for requirement in OPTIONAL}
    providers = metadata.packages_distributions()
    for path in (ROOT / "hpsearch").rglob("*.py"):
        for name in imported(path) - sys.stdlib_module_names - {"hpsearch"}:
            owners = {canonicalize_name(owner) for owner in providers.get(name, [name])}
            declared = always | optional if path.parent.name == "export" else always
            declared = declared | FOUND_OR_NOT.get(str(path.relative_to(ROOT)), set())
            assert owners & declared, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("requirement", [*RUNTIME, *BUILD], ids=lambda item: item.name)
def test_what_runs_the_product_is_locked_at_a_version_it_accepts(requirement: Requirement) -> None:
    _assert_locked(requirement, locked("requirements.lock"))


@pytest.mark.parametrize("requirement", TESTS, ids=lambda item: item.name)
def test_what_the_gate_needs_is_locked_at_a_version_it_accepts(requirement: Requirement) -> None:
    _assert_locked(requirement, locked("requirements.lock") | locked("requirements-test.lock"))


def _assert_locked(requirement: Requirement, pins: dict[str, Requirement]) -> None:
    name = canonicalize_name(requirement.name)
    assert name in pins, "run `make lock`"
    (pin,) = pins[name].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version, prereleases=True)
    assert pins[name].marker == requirement.marker


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_a_lock_file_holds_for_every_index_and_device(name: str) -> None:
    for pin in locked(name).values():
        assert pin.url is None
        assert "+" not in str(pin.specifier), "a local version binds it to one index"
        assert not pin.name.startswith("nvidia"), "torch brings its own where there is a GPU"
    assert "://" not in (ROOT / name).read_text()
