"""``enginehouse doctor``: a line per check, and the exit status of the worst."""

from __future__ import annotations

import click

from enginehouse.cli.common import json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the address, the token and the farm's parts; say what to do about what is wrong."""
    from enginehouse.cli.output import clean, print_json
    from enginehouse.cli.up import is_checkout
    from enginehouse.doctor import examine

    findings = examine(click.get_current_context().find_root().obj, server=is_checkout())
    if as_json:
        print_json(findings)
    else:
        for check in findings.checks:
            mark = click.style("ok    ", fg="green") if check.ok else click.style("not ok", fg="red")
            click.echo(f"{mark}  {clean(check.name)}: {clean(check.detail)}")
            if check.advice and not check.ok:
                click.echo(f"        {clean(check.advice)}")
    raise click.exceptions.Exit(findings.exit_code)
