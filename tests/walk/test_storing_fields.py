"""The tables of fields of vector stores and of chat with MCP servers tell the truth."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway import gateway, write_echo
from posting import Client
from toolserver import configured, tool_server

FOLDER = Path(__file__).parents[2] / "docs" / "fields"
FIELDS = [row for name in ("vectors", "mcp") for row in YAML(typ="safe").load((FOLDER / f"{name}.yaml").read_text())]
PASSING = {"id", "created", "created_at", "last_active_at", "expires_at", "vector_store_id", "status", "usage_bytes"}
NEEDED = {"search": {"query": "cats"}, "completions": {"messages": [{"role": "user", "content": "Hi"}]}}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory):
    """Posts fields to a route; gives the status, and the answer without what differs every time."""
    home = tmp_path_factory.mktemp("fields")
    write_echo(home)
    write_echo(home, "other")
    with tool_server() as desk, gateway(home, mcp_servers=str(configured(home, desk))) as running:
        client = Client(running.port, running.key)
        store = client.ask("POST", "/v1/vector_stores", {})[1]["id"]
        for text in ("cats purr", "dogs bark"):
            body = {"file_id": client.store(text.encode(), "assistants", f"{text}.txt")}
            client.ask("POST", f"/v1/vector_stores/{store}/files", body)
        while client.ask("GET", f"/v1/vector_stores/{store}")[1]["status"] != "completed":
            pass

        def post(route: str, **fields: Any) -> tuple[int, Any]:
            file = client.store(b"fish swim", "assistants", "fish.txt")
            into = store if route.endswith("search") else client.ask("POST", "/v1/vector_stores", {})[1]["id"]
            body = {**NEEDED.get(route.rsplit("/", 1)[-1], {}), **_filled(fields, file)}
            status, answer = client.ask("POST", route.replace("{store}", into), body)
            return status, answer["error"]["param"] if "error" in answer else _steady(answer)

        yield post


def _filled(value: Any, file: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, file) for item in value]
    return file if value == "$FILE" else value


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items() if key not in PASSING}
    return [_steady(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: f"{row['route']} {row['field']}")
def test_a_field_has_the_fate_that_the_table_tells(asked, row: dict[str, Any]):
    """A field that is honoured changes the answer, one that is ignored does not, and one that is refused is named."""
    name, beside = row["field"].split(".")[0], dict(row.get("beside", {}))
    if row["route"].endswith("completions"):
        beside["tool_choice"] = "required"
    with_it = asked(row["route"], **beside | {name: row["example"]})
    match row["fate"]:
        case "honoured":
            assert with_it != asked(row["route"], **beside)
        case "ignored":
            assert with_it == asked(row["route"], **beside)
            assert with_it[0] == 200
        case "refused":
            assert with_it[0] == 400
            assert with_it[1].startswith(name)
        case _:
            pytest.fail(f"{row['fate']} is no fate")
