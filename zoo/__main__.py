"""``python -m zoo`` lists the models; ``python -m zoo NAME`` prints the path of one, fetched when need be."""

from __future__ import annotations

import click

from zoo import CATALOGUE, ZooError, light_model, light_models, model_path


@click.command(help="Print the path of model NAME (fetched when it is not here yet), or list what there is.")
@click.argument("name", required=False)
def main(name: str | None) -> None:
    """List the zoo or print one path."""
    if name is None:
        for model in CATALOGUE.models.values():
            click.echo(f"{model.name:<20} {model.size / 1e6:6.1f} MB  {model.about}")
        for light in light_models():
            click.echo(f"{'light_' + light:<20} {'':9}  synthetic weights, from the installed onnx package")
        return
    try:
        click.echo(light_model(name) if name.startswith("light_") else model_path(name))
    except ZooError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m zoo")
