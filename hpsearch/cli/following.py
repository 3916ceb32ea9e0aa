"""Watching a study to its end, and what is said then."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.client.client import Client
    from hpsearch.spec.views import StudyView

POLL_S = 0.7  # a look costs the server a few milliseconds and must not slow training


def follow(client: "Client", name: str) -> "StudyView":
    """Show the study and its warnings until it has ended, and return it."""
    from rich.markup import escape

    from hpsearch.cli.console import stdout
    from hpsearch.cli.progress import make_display
    from hpsearch.client.follow import Follower

    console = stdout()
    display = make_display(console)
    follower = Follower(client, name)
    n_told = 0
    with display:
        for look in client.looks(follower.look, poll_s=POLL_S):
            # at once: a warning of the preflight is worth the most early
            for warning in look.study.warnings[n_told:]:
                console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
            n_told = len(look.study.warnings)
            display.show(look)
            if look.study.state.has_ended:
                return look.study
    raise AssertionError("looks() never ends by itself")  # pragma: no cover


def follow_to_summary(client: "Client", name: str, *, as_json: bool) -> "StudyView":
    """Show the study until it has ended, then its summary."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.summary import print_summary

    if as_json:
        return print_events(client, name)
    study = follow(client, name)
    print_summary(stdout(), client, study)
    return study


def print_events(client: "Client", name: str) -> "StudyView":
    """Write what happens in the study, an event a line, until it has ended; return it then."""
    from hpsearch.cli.json_lines import print_json

    for event in client.events(name):
        print_json({"event": str(event.kind), "study": event.study, **event.data})
    return client.study(name)
