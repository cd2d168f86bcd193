"""``foretell keys``: the API keys of this host's state folder, or of the database that hosts share."""

from __future__ import annotations

from typing import Annotated

import typer

from foretell.cli.access.place import author, opened
from foretell.cli.access.shown import show_made, show_one, show_revoked, show_table

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name or id.")]

app = typer.Typer(name="keys", no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


@app.callback()
def keys() -> None:
    """Make, show, rotate and revoke API keys."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who the key is for; it names them in log and audit.")],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: predict, jobs, models:read, models:write, metrics, admin. Default: predict"),
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it may use. Default: all.")] = None,
    rate: Annotated[
        list[str] | None, typer.Option(help="How fast it may be used, such as 100/m or 5k rows/h. Default: no limit.")
    ] = None,
    quota: Annotated[
        list[str] | None, typer.Option(help="How much it may be used, such as 1M/month. Default: no limit.")
    ] = None,
    expires: Annotated[str, typer.Option(help="When it ends: 90d, 24h, 1y, never.")] = "never",
    tenant: Annotated[
        str | None, typer.Option(help="Whose data it works on; keys of one tenant share it. Default: the name.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown once, now; kept is only a digest of it.

    From the first key on, every caller has to show one, for good. --scope, --model, --rate and --quota may stand
    several times, or with commas between values. A running server knows the key at once.

    [bold]Examples[/]

    foretell keys create partner-x --scope predict --model iris --rate 100/m --quota 1M/month --expires 90d

    foretell keys create dashboard --scope models:read,metrics
    """
    from foretell.cli.access.asked import read_options

    grant = read_options(name, tenant=tenant, scopes=scope, models=model, rates=rate, quotas=quota, expires=expires)
    with opened() as store:
        record, key = store.create(grant, author())
    show_made(record, key, as_json=json)


@app.command("list")
def list_(
    *,
    all: Annotated[bool, typer.Option("--all", help="Also those that were revoked or have expired.")] = False,
    json: Json = False,
) -> None:
    """List the keys that can be used.

    [bold]Examples[/]

    foretell keys list

    foretell keys list --all --json
    """
    with opened() as store:
        show_table(store.all(), everything=all, as_json=json)


@app.command()
def show(name: Name, *, json: Json = False) -> None:
    """Show a key: what it may do, since when, until when, and when it was last used.

    [bold]Examples[/]

    foretell keys show partner-x
    """
    with opened() as store:
        show_one(store.get(name), as_json=json)


@app.command()
def rotate(
    name: Name,
    *,
    grace: Annotated[str, typer.Option(help="How long the old key stays valid beside the new one.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="When the new key ends. Default: after as long as the old one was made for.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a new key in place of one, with the same name and rights; both are valid for the grace time.

    [bold]Examples[/]

    foretell keys rotate partner-x

    foretell keys rotate partner-x --grace 0s
    """
    from foretell.cli.access.asked import read_grace, read_lifetime

    grace_s, lifetime_s = read_grace(grace), None if expires is None else read_lifetime(expires)
    with opened() as store:
        record, key = store.rotate(name, author(), grace_s=grace_s, lifetime_s=lifetime_s)
    show_made(record, key, as_json=json, grace=grace)


@app.command()
def revoke(name: Name, *, json: Json = False) -> None:
    """End a key, or every key of a name, at once. Every server refuses it within two seconds.

    [bold]Examples[/]

    foretell keys revoke partner-x
    """
    with opened() as store:
        show_revoked(store.revoke(name, author()), as_json=json)
