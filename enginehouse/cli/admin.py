"""``enginehouse admin``: maintenance, quarantine, collection, the audit log."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from enginehouse.cli.common import farm, json_option, more, paging, reason_option


@click.group()
def admin() -> None:
    """Operate the farm: maintenance, quarantine, collection, audit. Needs the scope 'operate'."""


@admin.command()
@click.argument("state", type=click.Choice(["on", "off", "show"]), default="show")
@reason_option
@json_option
def maintenance(state: str, reason: str, as_json: bool) -> None:
    """Let the farm dispatch nothing (on), or go on with it (off). Submissions are accepted, what runs goes on."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        view = client.maintenance() if state == "show" else client.set_maintenance(state == "on", reason)
        if as_json:
            print_json(view)
        elif view.on:
            why = f": {clean(view.reason)}" if view.reason else ""
            click.echo(f"in maintenance since {view.since:%Y-%m-%d %H:%M} UTC, by {clean(view.by)}{why}")
        else:
            click.echo("not in maintenance")


@admin.command()
@paging
@json_option
def quarantine(limit: int, after: str | None, as_json: bool) -> None:
    """List builds that ended their attempts by the farm's fault; what asks for the same fails at once."""
    from enginehouse.cli.output import age_text, print_json, print_table, short

    with farm() as client:
        page = client.builds.quarantine(limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                item.build,
                item.project,
                short(item.model),
                str(item.target),
                item.last,
                " ".join(item.workers),
                age_text(item.created),
            ]
            for item in page.items
        ]
        print_table(["build", "project", "model", "target", "last failure", "tried by", "age"], rows)
        more(page.next)


@admin.command()
@click.argument("build", metavar="BUILD")
@json_option
def release(build: str, as_json: bool) -> None:
    """Release a build from quarantine; 'job retry' then builds it again."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        view = client.builds.release(build)
        print_json(view) if as_json else click.echo(f"{clean(view.build)} is released")


@admin.command()
@click.option("--dry-run", is_flag=True, help="Tell what would go, and change nothing.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
    """Expire artifacts and remove bytes that nothing needs, as the scheduler does once an hour.

    Bytes go a grace (ENGINEHOUSE_GC_GRACE_S) after it was first seen that nothing needs them.
    """
    from enginehouse.cli.output import note, print_json, print_table, size_text

    with farm() as client:
        done = client.collect(dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    groups = {
        "artifacts that lose their files": done.artifacts,
        "bytes that nothing needs since now": done.unneeded,
        "bytes removed": done.removed,
        "orphans in the store": done.orphans,
    }
    print_table(
        ["what", "count", "size"],
        [[what, str(group.count), size_text(group.bytes)] for what, group in groups.items()],
        right=["count", "size"],
    )
    rows = [[gone.name, size_text(gone.bytes), gone.why] for group in groups.values() for gone in group.first]
    if rows:
        print_table(["name", "size", "why"], rows, right=["size"])
    note(
        f"{done.events} events, {done.deliveries} deliveries of webhooks, the logs of {done.logs} builds and "
        f"{done.audit} lines of the audit log were older than they are kept"
    )
    if done.over_budget:
        note(f"{size_text(done.over_budget)} beyond the budget stay: what holds them is pinned, in use or new")
    if dry_run:
        note("nothing was changed (--dry-run)")


@admin.command()
@click.option("--who", metavar="NAME", help="Only what this person or token asked.")
@click.option("--action", metavar="ID", help="Only this operation, for example jobs_cancel.")
@click.option("--since", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]), help="Only from this day on (UTC).")
@click.option("--until", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]), help="Only before this day (UTC).")
@click.option("--everywhere", is_flag=True, help="Of every project, and the farm's own lines.")
@paging
@json_option
def audit(
    who: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    everywhere: bool,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List who asked for which change, newest first. Of one project, the scope 'admin' is enough."""
    from enginehouse.cli.output import print_json, print_table

    first, last = (one.replace(tzinfo=UTC) if one is not None else None for one in (since, until))
    with farm() as client:
        page = client.audit(who, action, first, last, everywhere, limit, after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                f"{item.time:%Y-%m-%d %H:%M:%S}",
                item.who,
                item.action,
                item.on,
                item.outcome,
                item.project or "-",
                item.peer,
                item.request_id,
            ]
            for item in page.items
        ]
        print_table(["time (UTC)", "who", "action", "on", "outcome", "project", "from", "request"], rows)
        more(page.next)
