"""The command line is there at once: nothing heavy is imported before a command runs."""

import subprocess
import sys

HEAVY = (
    "torch", "optuna", "numpy", "sqlalchemy", "fastapi", "pydantic", "pydantic_settings",
    "httpx", "redis", "rq", "ruamel.yaml", "sklearn", "structlog",
)  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['hpsearch', '--help']\n"
        "from hpsearch.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.splitlines()[-1] == "loaded: []"
    assert "Exit codes" in said.stdout
