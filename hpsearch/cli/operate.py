"""Commands for who runs the service: the database, the token."""

import typer


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


def groups() -> dict[str, typer.Typer]:
    """Return the groups of commands by name."""
    database = typer.Typer(no_args_is_help=True, help="The database.")
    database.command()(upgrade)
    token = typer.Typer(no_args_is_help=True, help="The admin token and the login link.")
    token.command()(show)
    token.command()(link)
    return {"db": database, "token": token}
