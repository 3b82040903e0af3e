"""The reference pages that are made from the code: every verb with its help, every setting."""

import inspect
from pathlib import Path
from typing import Any

import typer

from localai.cli import flags, serve
from localai.cli.main import app

WIDTH = 100
"""Columns of the help texts, whatever terminal the page is made on."""


def cli_markdown() -> str:
    """The page of the command line: the `--help` of each verb."""
    root = typer.main.get_command(app)
    parts = ["# Command line", "", "Made from `localai --help`.", "", *_section(root, "localai")]
    return "\n".join(parts).rstrip() + "\n"


def settings_markdown() -> str:
    """The page of the settings: a row for each field of Settings."""
    from localai.config import Settings

    lines = [
        "# Settings",
        "",
        "Flags of `localai serve` stand above variables, variables above the configuration file, that above defaults.",
        "",
        "| setting | flag | variable | kind | default | what it does |",
        "|---|---|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        kind = flags.kind(field)
        cells = (
            f"`{name}`",
            f"`--{name.replace('_', '-')}`",
            f"`LOCALAI_{name.upper()}`",
            _KINDS.get(kind, "several texts"),
            flags.default(field) or "-",
            field.description or "",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


_KINDS: dict[Any, str] = {bool: "yes or no", int: "number", float: "number", str: "text", Path: "folder"}


def _section(command: Any, name: str, above: typer.Context | None = None) -> list[str]:
    """The help of a command and of those below it, hidden ones left out."""
    shown: Any = typer.main.get_command(serve.command()) if (above and name == "serve") else command
    settings: dict[str, Any] = {**shown.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = typer.Context(shown, info_name=name, parent=above, **settings)
    heading = "#" * min(len(context.command_path.split()) + 1, 4)
    lines = [f"{heading} `{context.command_path}`", "", "```text", inspect.cleandoc(shown.get_help(context)), "```", ""]
    below: dict[str, Any] = getattr(command, "commands", {})
    for part, inner in below.items():
        if not inner.hidden:
            lines += _section(inner, part, context)
    return lines
