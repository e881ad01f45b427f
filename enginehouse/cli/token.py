"""``enginehouse token``: create, list, revoke."""

from __future__ import annotations

import click

from enginehouse.cli.common import farm, json_option


@click.group()
def token() -> None:
    """Create, list and revoke tokens (needs the scope 'admin')."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "submit", "maintain", "admin", "operate", "work"]),
    default=["read", "submit"],
    show_default=True,
    help="What it allows; repeat it. 'work' stands alone.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days that it is valid; without it, until revoked.")
@click.option("--project", help="Whose token it is, instead of your own project (needs the scope 'operate').")
@json_option
def create(name: str, scopes: tuple[str, ...], expires_days: int | None, project: str | None, as_json: bool) -> None:
    """Make a token and print its secret, which is shown this once."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        made = client.tokens.create(name, scopes, expires_days, project)
        if as_json:
            print_json(made)
            return
        click.echo(clean(made.token))
        click.echo(f"token {clean(made.id)} ({', '.join(made.scopes)}); keep it, it is not shown again", err=True)


@token.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List tokens, without their secrets."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.tokens.list()
        if as_json:
            print_json(page)
            return
        rows = [
            [
                item.id,
                item.name,
                ",".join(item.scopes),
                "revoked" if item.revoked else "valid",
                _day(item.expires),
                _day(item.last_used),
            ]
            for item in page.items
        ]
        print_table(["token", "name", "scopes", "state", "expires", "last used"], rows)


@token.command()
@click.argument("token_id", metavar="TOKEN")
def revoke(token_id: str) -> None:
    """Refuse a token (its id, not its secret) from now on."""
    with farm() as client:
        client.tokens.revoke(token_id)


def _day(moment: object) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "-"
