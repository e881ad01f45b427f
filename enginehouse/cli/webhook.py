"""``enginehouse webhook``: create, list, show, set, rotate, test, delete; deliveries, replays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from enginehouse.cli.common import farm, json_option, more, paging

if TYPE_CHECKING:
    from enginehouse.webhooks import DeliveryView, NewWebhook, WebhookView

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}

_kinds = click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="A kind of event, 'job.*' or '*'; repeat it. By default the ends of jobs.",
)
_description = click.option("--description", metavar="TEXT", help="For people.")


@click.group()
def webhook() -> None:
    """Tell other systems of events: signed HTTP requests (needs the scope 'admin')."""


@webhook.command()
@click.argument("url")
@_kinds
@_description
@json_option
def create(url: str, kinds: tuple[str, ...], description: str | None, as_json: bool) -> None:
    """Make a webhook and print its secret, which is shown this once."""
    with farm() as client:
        _secret(client.webhooks.create(url, kinds or None, description or ""), as_json)


@webhook.command("list")
@paging
@json_option
def list_(limit: int, after: str | None, as_json: bool) -> None:
    """List webhooks, without their secrets."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.webhooks.list(limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [[each.id, _state(each), str(each.pending), str(each.dead), each.url] for each in page.items]
        print_table(["webhook", "state", "pending", "dead", "address"], rows, right=["pending", "dead"])
        more(page.next)


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@json_option
def show(webhook_id: str, as_json: bool) -> None:
    """Show one webhook: where it goes, what it is told of, how it stands."""
    with farm() as client:
        _show(client.webhooks.get(webhook_id), as_json)


@webhook.command("set")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--url", metavar="URL", help="Another address.")
@_kinds
@_description
@click.option("--enable/--disable", "enabled", default=None, help="Tell it of events from now on, or of nothing.")
@json_option
def set_(webhook_id: str, as_json: bool, kinds: tuple[str, ...], **given: Any) -> None:
    """Change a webhook; what is not given stays."""
    fields = {name: value for name, value in given.items() if value is not None}
    if kinds:
        fields["kinds"] = list(kinds)
    if not fields:
        raise click.UsageError("Say what to change: --url, --kind, --description, --enable or --disable.")
    with farm() as client:
        _show(client.webhooks.change(webhook_id, **fields), as_json)


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option(
    "--overlap",
    metavar="SPAN",
    default="24h",
    show_default=True,
    callback=lambda _, __, value: _span(value),
    help="For how long the old secret signs as well: 90s, 30min, 24h, 7d at most; 0s: not at all.",
)
@json_option
def rotate(webhook_id: str, overlap: timedelta, as_json: bool) -> None:
    """Make a new secret and print it; it is shown this once."""
    with farm() as client:
        _secret(client.webhooks.rotate(webhook_id, int(overlap.total_seconds())), as_json)


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@json_option
def test(webhook_id: str, as_json: bool) -> None:
    """Send an event of the kind 'webhook.test', and print its delivery's id."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        made = client.webhooks.test(webhook_id)
        print_json(made) if as_json else click.echo(clean(made.id))


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
def delete(webhook_id: str) -> None:
    """Delete a webhook and its log."""
    with farm() as client:
        client.webhooks.delete(webhook_id)


@webhook.command()
@click.argument("webhook_id", metavar="[WEBHOOK]", required=False)
@click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="Only those in this state.")
@paging
@json_option
def deliveries(webhook_id: str | None, state: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List deliveries, newest first; '--state dead' lists the dead letters."""
    from enginehouse.cli.output import age_text, print_json, print_table

    with farm() as client:
        page = client.webhooks.deliveries(webhook_id, state, limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [each.id, each.kind, str(each.state), str(each.attempts), _last(each), age_text(each.created)]
            for each in page.items
        ]
        print_table(["delivery", "kind", "state", "tries", "last answer", "age"], rows, right=["tries"])
        more(page.next)


@webhook.command()
@click.argument("delivery_id", metavar="DELIVERY")
@json_option
def delivery(delivery_id: str, as_json: bool) -> None:
    """Show one delivery: what is sent, and every answer."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        found = client.webhooks.delivery(delivery_id)
    if as_json:
        print_json(found)
        return
    click.echo(clean(f"{found.id}  {found.kind}  {found.state}  {found.note}".rstrip()))
    click.echo(clean(found.body))
    for each in found.tries:
        status = each.status if each.status is not None else "-"
        said = f"{each.number}  {each.started:%Y-%m-%d %H:%M:%S}  {each.ms:.0f} ms  {each.outcome}  {status}"
        click.echo(clean(f"{said}  {each.error or each.response[:200]}".rstrip()))


@webhook.command()
@click.argument("what", metavar="DELIVERY|WEBHOOK")
@click.option(
    "--since",
    metavar="TIME",
    callback=lambda _, __, value: value and _moment(value),
    help="With a WEBHOOK: events from this time on, 2026-11-22T01:00:00Z, or so long ago: 90s, 30min, 24h, 7d.",
)
@click.option(
    "--until",
    metavar="TIME",
    callback=lambda _, __, value: value and _moment(value),
    help="Up to this time; without it, up to now.",
)
@click.option("--delivered", is_flag=True, help="Also those that were delivered.")
@json_option
def replay(what: str, since: datetime | None, until: datetime | None, delivered: bool, as_json: bool) -> None:
    """Send one delivery once more; or, with --since, what a webhook was not told of in a stretch of time."""
    from enginehouse.cli.output import clean, note, print_json

    if since is None and (until is not None or delivered):
        raise click.UsageError("--until and --delivered go with --since and a WEBHOOK.")
    with farm() as client:
        if since is None:
            one = client.webhooks.replay(what)
            print_json(one) if as_json else click.echo(f"{clean(one.id)} is {one.state}")
            return
        done = client.webhooks.replay_range(what, since, until, delivered=delivered)
        if as_json:
            print_json(done)
            return
        click.echo(f"{done.deliveries} deliveries are on their way")
        if not done.whole:
            note(f"there is more: --since {done.until:%Y-%m-%dT%H:%M:%S.%fZ}")


def _secret(made: NewWebhook, as_json: bool) -> None:
    from enginehouse.cli.output import clean, print_json

    if as_json:
        print_json(made)
        return
    click.echo(clean(made.secret))
    click.echo(f"webhook {clean(made.id)}; keep the secret, it is not shown again", err=True)


def _show(view: WebhookView, as_json: bool) -> None:
    from enginehouse.cli.output import age_text, print_json, print_table

    if as_json:
        print_json(view)
        return
    rows = [
        ["webhook", view.id],
        ["address", view.url],
        ["kinds", " ".join(view.kinds)],
        ["description", view.description],
        ["state", _state(view) + (f": {view.disabled_reason}" if view.disabled_reason else "")],
        ["pending", str(view.pending)],
        ["dead", str(view.dead)],
        ["delivered", f"{age_text(view.last_delivered)} ago" if view.last_delivered else "never"],
    ]
    print_table(["what", "is"], rows)


def _state(view: WebhookView) -> str:
    if not view.enabled:
        return "disabled"
    return "failing" if view.failing_since else "enabled"


def _last(view: DeliveryView) -> str:
    if view.last is None:
        return "-"
    return view.last.error or f"{view.last.status} in {view.last.ms:.0f} ms"


def _span(text: str) -> timedelta:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = _UNITS.get(text[len(number) :])
    if unit is None or not number.isascii() or not number.isdigit() or len(number) > 8:
        raise click.BadParameter(f"'{text}' is no span of time such as 90s, 30min, 24h or 7d.")
    return timedelta(seconds=int(number) * unit)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - _span(text)
    if found.tzinfo is None:
        raise click.BadParameter(f"'{text}' has no zone; write {text}Z for UTC.")
    return found
