"""``python -m weighmaster.chart [--check]``: write the generated files, or check them."""

from collections.abc import Mapping
from pathlib import Path

import click
import yaml

from weighmaster.api.schema import custom_resource_definitions
from weighmaster.chart.grants import Role
from weighmaster.chart.pages import rights_table
from weighmaster.chart.schema import values_schema, values_table, values_yaml
from weighmaster.chart.templates import rights_template, webhooks_template

_DEFINITIONS = Path("files/crds")


def generated(chart: Path, docs: Path) -> dict[Path, str]:
    """The text of every file that is generated, or has a generated part."""
    files = {
        chart / "values.yaml": values_yaml(),
        chart / "values.schema.json": values_schema(),
        chart / "templates" / "webhook-configurations.yaml": webhooks_template(),
    }
    for path, parts in (
        (chart / "README.md", {"values": values_table()}),
        (docs / "rbac.md", {role.value: rights_table(role) for role in Role}),
    ):
        files[path] = _with_parts(path.read_text(encoding="utf-8"), parts)
    files |= {chart / "templates" / role / "rbac.yaml": rights_template(role) for role in Role}
    files |= {
        chart / _DEFINITIONS / name: yaml.safe_dump(definition, sort_keys=False, width=100)
        for name, definition in custom_resource_definitions().items()
    }
    return files


def _with_parts(page: str, parts: Mapping[str, str]) -> str:
    """The page with what is between ``<!-- generated: NAME -->`` and ``<!-- end -->`` replaced."""
    for name, text in parts.items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- end -->\n"
        before, found, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise click.ClickException(f"a page lacks {start.strip()} or its end")
        page = f"{before}{start}{text}{end}{after}"
    return page


@click.command()
@click.option("--chart", type=click.Path(path_type=Path), default=Path("charts/weighmaster"))
@click.option("--docs", type=click.Path(path_type=Path), default=Path("docs"))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
def main(chart: Path, docs: Path, check: bool) -> None:
    """Write the generated files of the chart, or check them."""
    wanted = generated(chart, docs)
    stale = [path for path, text in wanted.items() if not _has(path, text)]
    surplus = [path for path in (chart / _DEFINITIONS).glob("*") if path not in wanted]
    if check:
        for path in stale + surplus:
            click.echo(f"{path} differs from the code; run `make generate`", err=True)
        raise SystemExit(1 if stale or surplus else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in surplus:
        path.unlink()


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


if __name__ == "__main__":
    main()
