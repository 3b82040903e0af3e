"""Message batches of a gateway as a user starts it."""

import json
import threading
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway import Gateway, gateway, write_echo

BATCHES = "/v1/messages/batches"
TABLE = Path(__file__).parents[2] / "docs" / "fields" / "anthropic.yaml"
FIELDS = [row for row in YAML(typ="safe").load(TABLE.read_text()) if row["route"] == BATCHES]


def entry(name: str, content: str = "to be", model: str = "echo", **fields) -> dict:
    return {
        "custom_id": name,
        "params": {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **fields},
    }


def begun(running: Gateway, *requests: dict, **headers: str) -> dict:
    status, batch = running.ask("POST", BATCHES, {"requests": list(requests)}, **headers)
    assert status == 200, batch
    return batch


def ended(running: Gateway, identifier: str, **headers: str) -> dict:
    """The batch once it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        batch = running.ask("GET", f"{BATCHES}/{identifier}", **headers)[1]
        if batch["processing_status"] == "ended":
            return batch
        threading.Event().wait(0.05)
    raise AssertionError("the batch did not end")


def results(running: Gateway, identifier: str) -> dict[str, dict]:
    status, lines = running.ask("GET", f"{BATCHES}/{identifier}/results")
    assert status == 200
    many = [lines] if isinstance(lines, dict) else [json.loads(line) for line in lines.splitlines()]
    return {line["custom_id"]: line["result"] for line in many}


def test_a_batch_gives_each_request_its_result(echo_gateway: Gateway):
    """Requests that succeed and requests that cannot have their results, in the shape of the same requests alone."""
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    batch = begun(
        echo_gateway,
        entry("good"),
        entry("calls", tools=tools, tool_choice={"type": "any"}, stream=True),
        entry("nobody", model="nobody"),
        {"custom_id": "odd", "params": {"messages": 7}},
    )
    assert (batch["type"], batch["id"][:9], batch["results_url"]) == ("message_batch", "msgbatch_", None)
    batch = ended(echo_gateway, batch["id"])
    assert batch["request_counts"] == {"processing": 0, "succeeded": 2, "errored": 2, "canceled": 0, "expired": 0}
    assert batch["results_url"] == f"{BATCHES}/{batch['id']}/results"
    assert batch["created_at"] <= batch["ended_at"] < batch["expires_at"]
    found = results(echo_gateway, batch["id"])
    assert list(found) == ["good", "calls", "nobody", "odd"]
    assert found["good"]["message"]["content"] == [{"type": "text", "text": "to be"}]
    assert found["calls"]["message"]["stop_reason"] == "tool_use"
    assert found["nobody"]["error"]["error"]["type"] == "not_found_error"
    assert found["odd"]["error"]["error"]["type"] == "invalid_request_error"
    assert found["odd"]["error"]["request_id"].startswith("req_")


def test_a_batch_can_be_cancelled_and_forgotten(tmp_path):
    """A cancelled batch ends with what it has; only a batch that has ended has results and can be forgotten."""
    write_echo(tmp_path, "slow", options={"delay": 0.05}, slots=1, context=100_000)
    with gateway(tmp_path) as running:
        batch = begun(running, *(entry(f"n{number}", "one " * 500, "slow", max_tokens=500) for number in range(9)))
        path = f"{BATCHES}/{batch['id']}"
        for method, end in (("GET", "/results"), ("DELETE", "")):
            status, answer = running.ask(method, path + end)
            assert (status, answer["type"], answer["error"]["type"]) == (409, "error", "invalid_request_error")
        status, cancelled = running.ask("POST", f"{path}/cancel")
        assert status == 200
        assert cancelled["processing_status"] in {"canceling", "ended"}
        assert cancelled["cancel_initiated_at"]
        counts = ended(running, batch["id"])["request_counts"]
        assert counts == {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 9, "expired": 0}
        assert {result["type"] for result in results(running, batch["id"]).values()} == {"canceled"}
        assert running.ask("DELETE", path)[1] == {"id": batch["id"], "type": "message_batch_deleted"}
        assert running.ask("GET", path)[0] == 404


def test_batches_are_listed_in_pages(echo_gateway: Gateway):
    """A list goes from the newest to the oldest, onwards and back, and shows only one's own."""
    secret = echo_gateway.ask("POST", "/api/admin/keys", {"name": "k", "owner": "pages", "scopes": ["infer"]})[1]
    own = {"authorization": "", "x-api-key": secret["secret"]}
    made = [begun(echo_gateway, entry(f"n{number}"), **own)["id"] for number in range(5)][::-1]

    def page(query: str) -> tuple[list[str], bool]:
        answer = echo_gateway.ask("GET", f"{BATCHES}?{query}", **own)[1]
        names = [batch["id"] for batch in answer["data"]]
        assert (answer["first_id"], answer["last_id"]) == ((names[0], names[-1]) if names else (None, None))
        return names, answer["has_more"]

    assert page("") == (made, False)
    assert page("limit=2") == (made[:2], True)
    assert page(f"limit=2&after_id={made[1]}") == (made[2:4], True)
    assert page(f"limit=2&before_id={made[4]}") == (made[2:4], True)
    assert page(f"before_id={made[0]}") == ([], False)


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results")])
def test_anothers_batch_is_not_there(echo_gateway: Gateway, method: str, end: str):
    """Every route that names a batch answers 404 to another owner."""
    batch = begun(echo_gateway, entry("a"))["id"]
    made = echo_gateway.ask("POST", "/api/admin/keys", {"name": "k", "owner": "stranger", "scopes": ["infer"]})[1]
    other = {"authorization": "", "x-api-key": made["secret"]}
    status, answer = echo_gateway.ask(method, f"{BATCHES}/{batch}{end}", **other)
    assert (status, answer["error"]["type"]) == (404, "not_found_error")
    assert ended(echo_gateway, batch)["request_counts"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("requests", "param"),
    [
        ([], "requests"),
        ([entry("a"), entry("a")], "requests.1.custom_id"),
        ([entry("a b")], "requests.0.custom_id"),
        ([{"custom_id": "a"}], "requests.0.params"),
        ([{"custom_id": "a", "params": []}], "requests.0.params"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(echo_gateway: Gateway, requests: list, param: str):
    """Names must be plain and different, and every request an object."""
    status, answer = echo_gateway.ask("POST", BATCHES, {"requests": requests})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert param in answer["error"]["message"]


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row["field"])
def test_a_field_of_a_batch_has_the_fate_that_the_table_tells(echo_gateway: Gateway, row: dict):
    """A field that is honoured changes the results, one that is ignored does not, one refused is named."""
    status, batch = echo_gateway.ask("POST", BATCHES, {"requests": row["example"]})
    if row["fate"] == "refused":
        assert (status, "requests.1.custom_id" in batch["error"]["message"]) == (400, True)
        return

    def told(identifier: str) -> dict:
        ended(echo_gateway, identifier)
        found = results(echo_gateway, identifier)
        return {name: result["message"]["content"] for name, result in found.items()}

    plain = begun(echo_gateway, {"custom_id": "a", "params": {"messages": [{"role": "user", "content": "Hi"}]}})
    assert (told(batch["id"]) == told(plain["id"])) == (row["fate"] == "ignored")
