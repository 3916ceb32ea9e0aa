"""The command that goes from a definition to a finished study."""

import time
from typing import TYPE_CHECKING

import typer

from hpsearch.cli.definition import describe, naming, read_definition
from hpsearch.cli.options import AsJson, DefinitionFile, New

if TYPE_CHECKING:
    from hpsearch.client.client import Client
    from hpsearch.client.definitions import Draft
    from hpsearch.client.discovery import Address
    from hpsearch.settings import Settings
    from hpsearch.spec.views import StudyView

OTHER_WITHIN_S = 20.0  # a start takes five seconds, a stop ten


def run(path: DefinitionFile, *, new: New = False, as_json: AsJson = False) -> None:
    """Run a study to its end: on the running server if there is one, else on its own.

    Ctrl-C loses nothing: the study goes on with `hpsearch up`.
    """
    from hpsearch.cli.failures import study_exit_code
    from hpsearch.cli.signals import listen
    from hpsearch.errors import InUse
    from hpsearch.settings import read_settings

    listen()
    draft = read_definition(path)
    settings = read_settings()
    search = _Search(draft, str(path), is_new=new, as_json=as_json)
    address = _running_server(settings)
    try:
        study = search.on_server(address) if address else search.on_own_stack(settings)
    except InUse:  # it starts, or stops, at this very moment
        study = search.on_server(_await_server(settings))
    raise typer.Exit(study_exit_code(study))


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel="Run the service")(run)


class _Search:
    """One study from its draft to its summary."""

    def __init__(self, draft: "Draft", path: str, *, is_new: bool, as_json: bool) -> None:
        self._draft = draft
        self._path = path
        self._is_new = is_new
        self._as_json = as_json
        self._name: str | None = None

    def on_server(self, address: "Address") -> "StudyView":
        """Run on a server that stays when this command has ended."""
        from hpsearch.client.client import Client

        with Client(address.url, address.token) as client:
            try:
                study = self._to_the_end(client)
            except KeyboardInterrupt:
                self._say_how_to_go_on(f"goes on at {client.url}: hpsearch watch {self._name}")
                raise
            self._say(f"\nMore: hpsearch show {study.name}, {client.url}/studies/{study.name}")
            return study

    def on_own_stack(self, settings: "Settings") -> "StudyView":
        """Run on a service of this command's own, stopped again at the end."""
        from hpsearch.cli.stack import running_stack
        from hpsearch.client.client import Client

        try:
            with running_stack(settings) as stack, Client(stack.url, stack.token) as client:
                study = self._to_the_end(client)
        except KeyboardInterrupt:
            self._say_how_to_go_on("stays ACTIVE and loses nothing: `hpsearch up` goes on with it")
            raise
        self._say(
            f"\nMore: start `hpsearch up` and open the link it prints, "
            f"or ask `hpsearch show {study.name}` beside it."
        )
        return study

    def _to_the_end(self, client: "Client") -> "StudyView":
        from hpsearch.cli.console import say_address
        from hpsearch.cli.following import follow_to_summary

        with naming(self._path):
            submission = client.hand_in(self._draft, new=self._is_new)
        study = submission.study
        self._name = study.name
        self._say(describe(submission))
        if not self._as_json and not study.state.has_ended:
            say_address(f"{client.url}/studies/{study.name}", client.login_link())
        return follow_to_summary(client, study.name, as_json=self._as_json)

    def _say_how_to_go_on(self, how: str) -> None:
        from hpsearch.cli.console import stderr

        if self._name is not None:
            stderr().print(f"\nInterrupted. {self._name} {how}", markup=False)

    def _say(self, line: str) -> None:
        from hpsearch.cli.console import say

        if not self._as_json:
            say(line)


def _running_server(settings: "Settings") -> "Address | None":
    from hpsearch.client.client import Client
    from hpsearch.client.discovery import find_address
    from hpsearch.errors import Unavailable

    try:
        address = find_address(settings)
        with Client(address.url, address.token, timeout_s=5.0) as client:
            client.health()
    except Unavailable:
        if settings.url is not None:
            raise
        return None
    return address


def _await_server(settings: "Settings") -> "Address":
    """Return the server that holds the data folder, once it is there.

    Raises:
        InUse: It does not come.
    """
    from hpsearch.errors import InUse

    deadline = time.monotonic() + OTHER_WITHIN_S
    while time.monotonic() < deadline:
        address = _running_server(settings)
        if address is not None:
            return address
        time.sleep(0.2)
    raise InUse(
        f"another process holds the data folder {settings.data_dir}: try again in a moment"
    )
