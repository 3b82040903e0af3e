"""The table of the dialect's fields tells the truth."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from echoing import FakePerform, echo
from localai.api.anthropic.body import CountBody, MessagesBody
from localai.api.anthropic.routes import rows
from localai.api.openai import routes as openai
from localai.core.task import Tokenize
from serving import serving

TABLE = Path(__file__).parents[4] / "docs" / "fields" / "anthropic.yaml"
ALL = YAML(typ="safe").load(TABLE.read_text())
FIELDS = [row for row in ALL if row["route"] in ("/v1/messages", "/v1/messages/count_tokens")]
TOOL = {"name": "look", "input_schema": {"type": "object"}}


class ChoosingPerform(FakePerform):
    """Remembers which model was chosen last."""

    chosen = ""

    def choose(self, caller, name, task):
        model = super().choose(caller, name, task)
        self.chosen = model.name
        return model


@pytest.fixture(scope="module")
def asked_fields():
    """Posts a body; gives the status, the text of the answer, and what was performed."""
    perform = ChoosingPerform(echo(), echo("other", aliases=("parrot",)))
    with serving(rows(perform)) as server:

        def post(route, **fields):
            body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [TOOL], **fields}
            before = len(perform.asked)
            status, headers, answer = server.ask("POST", route, body)
            tasks = [task for task in perform.asked[before:] if not isinstance(task, Tokenize)]
            facts = (tasks, perform.keep_alive[-1:], headers["content-type"], perform.chosen)
            return status, answer, facts

        yield post


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: f"{row['route']} {row['field']}")
def test_a_field_has_the_fate_that_the_table_tells(asked_fields, row):
    """A field that is honoured changes the task or its answer, one that is ignored does not, one refused is named."""
    name, _, rest = row["field"].partition(".")
    name = "messages" if name.startswith("content") else name
    plain = {name: row["against"]} if "against" in row else {}
    if name == "tools" and rest == "strict":
        plain = {"tools": [{**row["example"][0], "strict": False}]}
    _, _, without = asked_fields(row["route"], **plain)
    status, answer, facts = asked_fields(row["route"], **{name: row["example"]})
    match row["fate"]:
        case "honoured":
            assert status == 200
            assert facts != without
        case "ignored":
            assert status == 200
            assert facts == without
        case "refused":
            assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
            assert f"{name}.0" in answer["error"]["message"]
        case _:
            raise AssertionError(row["fate"])


@pytest.mark.parametrize(("route", "kind"), [("/v1/messages", MessagesBody), ("/v1/messages/count_tokens", CountBody)])
def test_no_field_is_left_out_of_the_table(route, kind):
    """Every field that the messages API reads has a row."""
    told = {row["field"].partition(".")[0] for row in FIELDS if row["route"] == "/v1/messages"}
    assert set(kind.model_fields) <= told
    own = {row["field"].partition(".")[0] for row in FIELDS if row["route"] == route}
    assert {name for name in own if not name.startswith("content")} - {"anything_else"} <= set(kind.model_fields)


@pytest.mark.parametrize("row", [row for row in ALL if row["route"] == "/v1/models"], ids=lambda row: row["field"])
def test_a_query_of_the_list_has_its_fate(row):
    """What the table tells of the list of models changes the list."""
    perform = FakePerform(echo(), echo("other"))
    with serving(openai.rows(perform)) as server:
        whole, part = (
            server.ask("GET", f"/v1/models{query}", headers={"anthropic-version": "2023-06-01"})[2]["data"]
            for query in ("", f"?{row['field']}={row['example']}")
        )
    assert row["fate"] == "honoured"
    assert 0 < len(part) < len(whole)
