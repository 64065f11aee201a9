"""``weighmaster crds``: the custom resource definitions and the reference pages."""

from pathlib import Path

import click
import yaml

from weighmaster.api.schema import custom_resource_definitions
from weighmaster.cli.reference import pages

_HEADER = "# Generated from operator/weighmaster/api by `make generate`; do not edit.\n"


@click.command()
@click.option(
    "--output-dir", type=click.Path(path_type=Path), help="Write one file per kind into a folder."
)
@click.option(
    "--docs-dir", type=click.Path(path_type=Path), help="Write the reference pages into a folder."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.pass_context
def crds(
    context: click.Context, output_dir: Path | None, docs_dir: Path | None, check: bool
) -> None:
    """Print the custom resource definitions, or write or check generated files."""
    wanted: dict[Path, str] = {}
    if output_dir:
        wanted |= {output_dir / name: text for name, text in definitions().items()}
    if docs_dir:
        wanted |= {docs_dir / name: text for name, text in pages(_group(context)).items()}
    if not wanted:
        click.echo("---\n".join(definitions().values()), nl=False)
        return
    stale = [path for path, text in wanted.items() if not _has(path, text)]
    if output_dir and output_dir.is_dir():
        stale += [path for path in output_dir.glob("*.yaml") if path not in wanted]
    if check:
        for path in stale:
            click.echo(f"{path} differs from the types; run `make generate`", err=True)
        raise SystemExit(1 if stale else 0)
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()


def _group(context: click.Context) -> click.Group:
    root = context.find_root().command
    if not isinstance(root, click.Group):
        raise TypeError("the command has no group")
    return root


def definitions() -> dict[str, str]:
    """The text of every definition, by file name."""
    return {
        name: _HEADER + yaml.safe_dump(definition, sort_keys=False, width=100)
        for name, definition in custom_resource_definitions().items()
    }


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
