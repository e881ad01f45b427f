"""``enginehouse artifact``: list, get, verify, pin, unpin, keys."""

from __future__ import annotations

from pathlib import Path

import click

from enginehouse.cli.common import artifact_id, farm, json_option, model_id, more, paging, quiet_option


@click.group()
def artifact() -> None:
    """List, download and verify artifacts."""


@artifact.command("list")
@click.option("--model", metavar="MODEL", help="Only artifacts of this model (id, or its first digits).")
@paging
@json_option
def list_(model: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List artifacts, newest first."""
    from enginehouse.cli.output import age_text, print_json, print_table, short, size_text

    with farm() as client:
        found = model_id(client, model) if model else None
        page = client.artifacts.list(model=found, limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                short(item.id),
                str(item.manifest.target),
                short(item.manifest.model),
                size_text(item.report.size),
                item.manifest.hardware_class,
                "yes" if item.promoted else "evidence",
                "evicted" if item.evicted else "pinned" if item.pinned else "-",
                age_text(item.created),
            ]
            for item in page.items
        ]
        print_table(
            ["artifact", "target", "model", "size", "hardware", "promoted", "kept", "age"], rows, right=["size"]
        )
        more(page.next)


@artifact.command()
@click.argument("given", metavar="ARTIFACT")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to put the files.  [default: artifact-ID]",
)
@json_option
@quiet_option
def get(given: str, out: Path | None, as_json: bool, quiet: bool) -> None:
    """Download an artifact; every file's SHA-256 is checked, and the manifest's against the id.

    A download that broke off goes on where it was; files that are there already are kept.
    """
    from enginehouse.cli.output import print_json, print_table, short, size_text
    from enginehouse.cli.progress import transfer

    with farm() as client:
        view = client.artifacts.get(artifact_id(client, given))
        folder = out or Path(f"artifact-{short(view.id)}")
        with transfer(short(view.id), quiet) as progress:
            manifest = client.artifacts.download(view.id, folder, progress)
        if as_json:
            print_json(view)
            return
        rows = [[str(folder / file.path), size_text(file.size), file.sha256] for file in manifest.files]
        print_table(["file", "size", "sha256"], rows, right=["size"])


@artifact.command()
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    multiple=True,
    help="Public keys to trust, as 'artifact keys' prints them; repeat it. Without it the farm is asked.",
)
@json_option
def verify(path: Path, key_files: tuple[Path, ...], as_json: bool) -> None:
    """Check that a downloaded bundle is what the farm signed: signature, manifest, every file, nothing more.

    PATH is the bundle's folder. With --key nothing is asked of anybody. A key that lies in the bundle is not looked at.
    """
    from enginehouse.bundle import RESERVED
    from enginehouse.bundle_check import check_bundle
    from enginehouse.cli.exit_codes import ExitCode
    from enginehouse.cli.output import clean, print_json
    from enginehouse.errors import CryptographyMissing, PublicKeyUnreadable
    from enginehouse.public_key import from_views, read_keys

    folder = path.parent if path.name in RESERVED and path.is_file() else path
    try:
        if key_files:
            keys = [key for file in key_files for key in read_keys(file)]
        else:
            with farm() as client:
                keys = from_views(client.keys().items)
        checked = check_bundle(folder, keys)
    except (CryptographyMissing, PublicKeyUnreadable) as error:
        raise click.UsageError(f"{error.detail}. {error.hint}") from None
    if as_json:
        print_json(checked)
    else:
        for check in checked.checks:
            mark = click.style("ok    ", fg="green") if check.ok else click.style("not ok", fg="red")
            click.echo(f"{mark}  {clean(check.name)}: {clean(check.detail)}")
            if not check.ok:
                click.echo(f"        {check.code}: {check.advice}")
        click.echo(f"{clean(str(folder))} {'is' if checked.ok else 'is NOT'} what the farm signed")
    raise click.exceptions.Exit(ExitCode.OK if checked.ok else ExitCode.FAILED)


@artifact.command()
@click.argument("given", metavar="ARTIFACT")
@click.option("--note", default="", metavar="TEXT", help="Why it is kept, for people.")
@json_option
def pin(given: str, note: str, as_json: bool) -> None:
    """Keep an artifact's files, whatever their age and the store's budget."""
    from enginehouse.cli.output import print_json, short

    with farm() as client:
        view = client.artifacts.pin(artifact_id(client, given), note)
        print_json(view) if as_json else click.echo(f"artifact {short(view.id)} is pinned")


@artifact.command()
@click.argument("given", metavar="ARTIFACT")
@json_option
def unpin(given: str, as_json: bool) -> None:
    """Keep an artifact no longer than others are kept."""
    from enginehouse.cli.output import print_json, short

    with farm() as client:
        view = client.artifacts.unpin(artifact_id(client, given))
        print_json(view) if as_json else click.echo(f"artifact {short(view.id)} is not pinned any more")


@artifact.command()
@json_option
def keys(as_json: bool) -> None:
    """Print the farm's public keys, to be kept for 'artifact verify --key'."""
    from enginehouse.cli.output import print_json
    from enginehouse.public_key import from_views

    with farm() as client:
        page = client.keys()
        if as_json:
            print_json(page)
            return
        for view, key in zip(page.items, from_views(page.items), strict=True):
            click.echo(f"# {key.id}{', in use' if view.current else ''}\n{key.pem}", nl=False)
