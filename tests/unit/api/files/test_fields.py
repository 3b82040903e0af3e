"""The table of the fields of files, uploads, batches and stored completions tells the truth."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from gateway import Gateway, gateway, write_echo
from posting import Client, form, over, request

TABLE = Path(__file__).parents[4] / "docs" / "fields" / "files.yaml"
ROWS = cast("list[dict[str, Any]]", YAML(typ="safe").load(TABLE.read_text()))  # pyright: ignore[reportUnknownMemberType]
CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
UPLOAD: dict[str, Any] = {"filename": "f", "purpose": "user_data", "bytes": 3, "mime_type": "a/b"}
LATER = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("fields")
    write_echo(home)
    with gateway(home) as running:
        yield running


class Desk:
    """Sends each field to its route, and gives what is seen of it without ids and times."""

    def __init__(self, running: Gateway) -> None:
        self.client = Client(running.port, running.key)
        self.file = self.client.store(b"{}", purpose="desk")
        self.client.store(b"{}", purpose="other")
        for metadata in ({"a": "1"}, {"a": "2"}):
            self.client.ask("POST", "/v1/chat/completions", CHAT | {"store": True, "metadata": metadata})
        for number in range(2):
            self.client.when(self.client.batch([request(number)])["id"], over)

    def send(self, route: str, **fields: object) -> object:
        """What an answer tells to a request with these fields."""
        method, path = route.split()
        match path:
            case "/v1/files" if method == "POST":
                return self._store(fields)
            case "/v1/uploads":
                return self._upload(fields)
            case "/v1/uploads/ID/parts":
                return self._part(fields)
            case "/v1/uploads/ID/complete":
                return self._complete(fields)
            case "/v1/batches" if method == "POST":
                return self._batch(fields)
            case "/v1/chat/completions" if method == "POST":
                return self._chat(fields)
            case "/v1/chat/completions/ID":
                answer = self.client.ask("POST", "/v1/chat/completions", CHAT | {"store": True})[1]
                return self._seen(
                    self.client.ask("POST", f"/v1/chat/completions/{answer['id']}", {"metadata": {}} | fields)
                )
            case _:
                query = "&".join(f"{name}={value}" for name, value in fields.items())
                status, answer = self.client.ask("GET", f"{path}?{query}")
                return status, [each["id"] for each in answer.get("data", ())]

    def _seen(self, told: tuple[int, dict[str, Any]]) -> object:
        status, answer = told
        if status != 200:
            return status, answer["error"]["param"]
        own = {
            "id",
            "request_counts",
            "input_file_id",
            "created",
            "status",
            "in_progress_at",
            "failed_at",
            "errors",
            "upload_id",
            "part",
        }
        times = {name: value - answer["created_at"] for name, value in answer.items() if name == "expires_at" and value}
        kept = {name: value for name, value in answer.items() if name not in own and not name.endswith("_at")}
        return status, kept | times

    def _store(self, fields: dict[str, Any]) -> object:
        parts = {"file": b"other", "purpose": "assistants"}
        if any(name.startswith("expires") for name in fields):
            fields = LATER | fields
        parts |= fields
        written = [(name, value, "n") if name == "file" else (name, value) for name, value in parts.items()]
        return self._seen(self.client.post_form("/v1/files", form(*written)))

    def _upload(self, fields: dict[str, Any]) -> object:
        body = UPLOAD | fields
        status, made = self.client.ask("POST", "/v1/uploads", body)
        assert status == 200, made
        at = f"/v1/uploads/{made['id']}"
        part = self.client.post_form(f"{at}/parts", form(("data", b"x" * body["bytes"], "p")))[1]["id"]
        _, done = self.client.ask("POST", f"{at}/complete", {"part_ids": [part]})
        file = self._seen((200, done["file"]))
        return self._seen((200, {**made, "file": None})), file, self.client.content(done["file"]["id"])

    def _part(self, fields: dict[str, Any]) -> object:
        at = f"/v1/uploads/{self.client.ask('POST', '/v1/uploads', UPLOAD | {'bytes': 4})[1]['id']}"
        status, part = self.client.post_form(
            f"{at}/parts", form(*((name, value, "p") for name, value in fields.items()))
        )
        if status != 200:
            return status
        done = self.client.ask("POST", f"{at}/complete", {"part_ids": [part["id"]]})[1]
        return self.client.content(done["file"]["id"])

    def _complete(self, fields: dict[str, Any]) -> object:
        at = f"/v1/uploads/{self.client.ask('POST', '/v1/uploads', UPLOAD)[1]['id']}"
        part = self.client.post_form(f"{at}/parts", form(("data", b"abc", "p")))[1]["id"]
        status, answer = self.client.ask("POST", f"{at}/complete", {"part_ids": [part]} | fields)
        return status, answer.get("status")

    def _batch(self, fields: dict[str, Any]) -> object:
        given = self.client.store(json.dumps(request(0)).encode())
        status, answer = self.client.ask("POST", "/v1/batches", {"input_file_id": given, **BATCH, **fields})
        seen = self._seen((status, answer))
        if status != 200:
            return seen
        output = self.client.when(answer["id"], over)["output_file_id"]
        file: dict[str, int] = self.client.ask("GET", f"/v1/files/{output}")[1] if output else {}
        return seen, file.get("expires_at", 0) - file.get("created_at", 0)

    def _chat(self, fields: dict[str, Any]) -> object:
        fields = {"store": True} | fields if "metadata" in fields else fields
        answer = self.client.ask("POST", "/v1/chat/completions", CHAT | fields)[1]
        status, kept = self.client.ask("GET", f"/v1/chat/completions/{answer['id']}")
        return status, kept.get("metadata")


@pytest.fixture(scope="module")
def desk(server: Gateway):
    return Desk(server)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['route']} {row['field']}")
def test_a_field_has_the_fate_that_the_table_tells(desk: Desk, row: dict[str, Any]):
    """A field that is honoured changes what is seen, one that is ignored does not, one refused is named."""
    without, seen = desk.send(row["route"]), desk.send(row["route"], **{row["field"]: row["example"]})
    match row["fate"]:
        case "honoured" if row["field"] == "expires_after[anchor]":
            assert seen != without
            assert desk.send(row["route"], **{row["field"]: "other"}) == (400, "expires_after.anchor")
        case "honoured":
            assert seen != without
        case "ignored":
            assert seen == without
        case fate:
            pytest.fail(f"no fate: {fate}")
