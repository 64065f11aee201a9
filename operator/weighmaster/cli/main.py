"""The ``weighmaster`` command. Each subcommand is imported when it is asked for."""

import importlib
from typing import Any

import click

from weighmaster import __version__
from weighmaster.errors import WeighmasterError

COMMANDS = {
    "check": "Decide on manifests by policies, offline.",
    "controller": "Run the controller (kopf) in a cluster.",
    "crds": "Print or check the custom resource definitions.",
    "detect": "Show which model weights manifests load.",
    "explain": "Show how a decision comes about, rule by rule.",
    "inspect": "Gather evidence about a model and show it.",
    "probe": "See whether the API server asks Weighmaster.",
    "stage": "Download models and verify them before their server starts.",
    "verify": "Verify the signature of a model on disk.",
    "verify-mounted": "Verify mounted weights before their server starts.",
    "webhook": "Serve admission over HTTPS.",
}

BAD_INPUT = 2
"""Exit code for input or settings that cannot be used."""


class LazyGroup(click.Group):
    """Imports a command's module only when it runs, so that none pays for another's imports."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command of a name, imported now."""
        if name not in COMMANDS:
            return None
        attribute = name.replace("-", "_")
        module = importlib.import_module(f"weighmaster.cli.{attribute}")
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        """Run a command; an error of ours is one line and exit code 2."""
        try:
            return super().invoke(context)
        except WeighmasterError as error:
            click.echo(f"weighmaster: {error}", err=True)
            context.exit(BAD_INPUT)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weighmaster")
def cli() -> None:
    """Kubernetes admission control for model weights."""


def main() -> None:
    """Entry point; flags may also come from the environment as WEIGHMASTER_<COMMAND>_<FLAG>."""
    cli(auto_envvar_prefix="WEIGHMASTER")
