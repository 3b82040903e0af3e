"""The settings: `config show` and `config schema`."""

import os
from typing import Any, cast

import typer

from localai.cli.table import columns, write_json
from localai.cli.target import settings
from localai.cli.verb import Json

SECRET = "(set)"  # noqa: S105 - what is shown in place of a secret


def show(*, as_json: Json = False) -> None:
    """Show every setting, its value and where it comes from."""
    chosen = settings()
    values: dict[str, Any] = chosen.model_dump(mode="json")
    if values["api_key"]:
        values["api_key"] = SECRET
    rows = [(name, value, _origin(name, changed=name in chosen.model_fields_set)) for name, value in values.items()]
    if as_json:
        write_json({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        typer.echo(
            columns(("SETTING", "VALUE", "FROM"), [(name, _text(value), origin) for name, value, origin in rows])
        )


def schema() -> None:
    """Write the JSON schema of the configuration file."""
    from localai.config import Settings

    write_json(Settings.model_json_schema())


def _origin(name: str, *, changed: bool) -> str:
    variable = f"LOCALAI_{name.upper()}"
    if os.environ.get(variable):
        return variable
    return "file" if changed else "default"


def _text(value: Any) -> str:
    match value:
        case None | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case [*several]:
            return ", ".join(str(one) for one in cast("list[object]", several))
        case _:
            return str(value)
