"""Makes the reference pages from the code: `python docs/generate.py` writes them, `--check` compares (`make check`)."""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

for name in [name for name in os.environ if name.startswith("LOCALAI_")]:
    del os.environ[name]  # defaults are documented, not what this machine happens to be set to
os.environ["COLUMNS"] = "100"

from localai import house  # noqa: E402
from localai.api.table import Row  # noqa: E402
from localai.cli.reference import cli_markdown, settings_markdown  # noqa: E402
from localai.core.errors import BY_CODE  # noqa: E402
from localai.house import House  # noqa: E402
from localai.loader.file import ModelFile  # noqa: E402
from localai.observe.metrics import Metrics  # noqa: E402

HERE = Path(__file__).parent / "reference"
FIELDS = Path(__file__).parent / "fields"
ENGINES = Path(__file__).parent.parent / "src" / "localai" / "engines"


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def errors() -> str:
    """Every case of the error tree."""
    cases = sorted(BY_CODE.values(), key=lambda case: (case.status, case.code))
    rows: list[tuple[object, ...]] = [
        (f"`{case.code}`", case.status, case.kind, "yes" if case.retry else "no", case().message) for case in cases
    ]
    return (
        '# Errors\n\nEvery error is `{"error": {"message", "type", "param", "code"}}` (problem documents under `/api/admin`). '
        "`x-should-retry` and `Retry-After` say whether and when a retry makes sense.\n\n"
        + table(("code", "status", "type", "retry", "meaning"), rows)
    )


def engines() -> str:
    """Every manifest of an engine that ships with the package."""
    parts = ["# Engines\n"]
    for path in sorted(ENGINES.glob("*.toml")):
        manifest = tomllib.loads(path.read_text())
        parts.append(f"## {manifest['name']}\n\n{manifest['summary']}\n")
        formats = ", ".join(manifest["formats"]) or "none"
        parts.append(f"Formats: {formats}. Tasks: {', '.join(manifest['tasks'])}.\n")
        parts.append(table(("option", "meaning"), [(f"`{k}`", v) for k, v in manifest["options"].items()]))
    return "\n".join(parts)


def model_file() -> str:
    """The fields of a model file."""
    schema = ModelFile.model_json_schema()
    rows: list[tuple[object, ...]] = [
        (f"`{name}`", _kind(field), field.get("description", "")) for name, field in schema["properties"].items()
    ]
    return (
        "# Model files\n\nOne YAML per model in `$LOCALAI_HOME/models`. Everything but the name and the files has a planned default.\n\n"
        + table(("field", "kind", "meaning"), rows)
    )


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[1]
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one.get("type") != "null")
    return field.get("type", "any")


class Nobody:
    """Stands for a service where nothing is called."""

    def __getattr__(self, name: str) -> None:
        """Have nothing."""


def rows() -> list[Row]:
    """The route table; the services behind it are left out."""
    return house.rows(House(*(cast("Any", Nobody()) for _ in House._fields)))


def paths() -> str:
    """Every route with the scope it needs."""
    listed: list[tuple[object, ...]] = [(row.method, f"`{row.path}`", row.scope, row.summary) for row in rows()]
    return (
        "# Routes\n\nPaths under `/v1` also work without it. `/openapi.json` describes bodies and answers; `/docs` is a page for people.\n\n"
        + table(("method", "path", "scope", "what it does"), listed)
    )


def metrics() -> str:
    """Every metric."""
    families = sorted(Metrics().registry.collect(), key=lambda family: family.name)
    found: list[tuple[object, ...]] = [(f"`{one.name}`", one.type, one.documentation) for one in families]
    return "# Metrics\n\n`/metrics` in Prometheus' text format; needs the scope `metrics`.\n\n" + table(
        ("name", "kind", "meaning"), found
    )


def fields() -> str:
    """What becomes of every field of every dialect."""
    head = (
        "# Fields\n\nWhat becomes of what clients send, by dialect and route. *Honoured*: it does what its API says. "
        "*Ignored*: it is accepted and changes nothing. *Refused*: it is a clear error. Fields that are not listed are "
        "dropped, and counted in the metrics; a known field with a wrong type is an error that names it.\n"
    )
    parts = [head]
    for path in sorted(FIELDS.glob("*.yaml")):
        rows = cast("list[dict[str, Any]]", YAML(typ="safe").load(path))
        listed: list[tuple[object, ...]] = [
            (f"`{row['route']}`", f"`{row['field']}`", row["fate"], row.get("note", "")) for row in rows
        ]
        parts.append(f"## {path.stem}\n\n" + table(("route", "field", "fate", "note"), listed))
    return "\n".join(parts)


PAGES = {
    "cli": cli_markdown,
    "settings": settings_markdown,
    "errors": errors,
    "fields": fields,
    "engines": engines,
    "model-file": model_file,
    "routes": paths,
    "metrics": metrics,
}


def main() -> int:
    """Write or compare."""
    stale: list[str] = []
    for name, make in PAGES.items():
        path, text = HERE / f"{name}.md", make()
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"Reference pages are not what the code says: {', '.join(stale)}; run `make fix`.\n")
    return bool(stale)


if __name__ == "__main__":
    raise SystemExit(main())
