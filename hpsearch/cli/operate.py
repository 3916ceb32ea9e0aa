"""Commands for who runs the service: the database, the token."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import AsJson

if TYPE_CHECKING:
    from hpsearch.storage.database import Database


def upgrade() -> None:
    """Create or migrate the database's tables, ours and Optuna's."""
    from hpsearch.cli.console import stdout
    from hpsearch.settings import read_settings
    from hpsearch.storage import schema

    settings = read_settings()
    if settings.is_embedded:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    schema.upgrade(settings.resolved_database_url)
    stdout().print("The database is up to date.")


def show() -> None:
    """Print the admin token of this machine's server."""
    from hpsearch.client.discovery import stored_token
    from hpsearch.errors import Unavailable
    from hpsearch.settings import read_settings

    settings = read_settings()
    token = settings.token.get_secret_value() if settings.token else None
    token = token or stored_token(settings.data_dir)
    if token is None:
        raise Unavailable("there is no token yet: the first `hpsearch up` makes one")
    typer.echo(token)


def link() -> None:
    """Print the link that opens the pages in a browser."""
    from hpsearch.client.client import Client

    with Client() as client:
        typer.echo(client.login_link())


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")],
    *,
    scope: Annotated[str, typer.Option(help="read, write or admin.")] = "write",
    owner: Annotated[
        str | None, typer.Option(help="Whose studies it makes; default: the name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an access token and print it, this once: only its hash is kept."""
    from hpsearch.cli.json_lines import print_json
    from hpsearch.studies.tokens import create_token

    with _database() as database:
        made = create_token(database, name, owner=owner or name, scope=scope)
    if as_json:
        print_json({"name": name, "owner": owner or name, "scope": scope, "token": made})
    else:
        typer.echo(made)


def list_tokens(*, as_json: AsJson = False) -> None:
    """List the tokens that were made; the server's own is not among them."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.tables import token_table
    from hpsearch.studies.tokens import known_tokens

    with _database() as database:
        found = known_tokens(database)
    if as_json:
        facts = ("name", "owner", "scope", "created_at")
        print_json({"tokens": [{fact: getattr(one, fact) for fact in facts} for one in found]})
    elif found:
        stdout().print(token_table((t.name, t.owner, t.scope, t.created_at) for t in found))
    else:
        stdout().print("There is no token but the server's own (`hpsearch token show`).")


def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")],
) -> None:
    """Make a token worthless from this moment on."""
    from hpsearch.cli.console import stdout
    from hpsearch.studies.tokens import revoke_token

    with _database() as database:
        revoke_token(database, name)
    stdout().print(f"{name}: revoked", markup=False)


@contextmanager
def _database() -> Iterator["Database"]:
    """Give the configured database: whoever can write to it may make tokens."""
    from hpsearch.errors import Unavailable
    from hpsearch.settings import read_settings
    from hpsearch.storage.database import Database

    settings = read_settings()
    if settings.is_embedded and not (settings.data_dir / "hpsearch.db").exists():
        raise Unavailable(
            f"there is no database in {settings.data_dir} yet: `hpsearch up` or "
            "`hpsearch db upgrade` makes one"
        )
    database = Database(settings.resolved_database_url)
    try:
        yield database
    finally:
        database.dispose()


def groups() -> dict[str, typer.Typer]:
    """Return the groups of commands by name."""
    database = typer.Typer(no_args_is_help=True, help="The database.")
    database.command()(upgrade)
    token = typer.Typer(no_args_is_help=True, help="Access tokens and the login link.")
    token.command()(create)
    token.command("list")(list_tokens)
    token.command()(revoke)
    token.command()(show)
    token.command()(link)
    return {"db": database, "token": token}
