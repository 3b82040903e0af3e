"""Conversations, over real HTTP."""

import pytest

from responding import PATH, ask, events, get, opened, prompt


def test_a_conversation_takes_what_is_asked_and_answered(server, perform):
    """A response reads its conversation and grows it by its input and its output."""
    _, talk = server.post("/v1/conversations", items=[{"role": "user", "content": "zero"}], metadata={"a": "b"})
    assert talk["metadata"] == {"a": "b"}
    ask(server, "one", conversation=talk["id"])
    ask(server, "two", conversation={"id": talk["id"]}, store=False, stream=False)
    assert [text for _, text in prompt(perform)] == ["zero", "one", "one", "two"]
    _, listed = get(server, f"/v1/conversations/{talk['id']}/items?order=asc")
    assert [part["text"] for item in listed["data"] for part in item["content"]] == ["zero", "one", "one", "two", "two"]


def test_a_failed_turn_leaves_the_conversation_as_it_was(server):
    """What failed or was cancelled is not part of the conversation."""
    _, talk = server.post("/v1/conversations")
    assert events(server, "x", "dies", conversation=talk["id"])[-1]["type"] == "response.failed"
    assert server.post(PATH, model="busy", input="x", conversation=talk["id"])[0] == 429
    assert get(server, f"/v1/conversations/{talk['id']}/items")[1]["data"] == []


def test_a_conversation_that_is_deleted_meanwhile_stays_deleted(server):
    """Deleting a conversation while a turn of it runs does not fail the turn, nor bring the conversation back."""
    _, talk = server.post("/v1/conversations")
    stream = opened(server, {"model": "slow", "input": "a b c d", "stream": True, "conversation": talk["id"]})
    told = stream.events()
    next(told)
    assert server.ask("DELETE", f"/v1/conversations/{talk['id']}")[0] == 200
    assert list(told)[-1]["type"] == "response.completed"
    assert get(server, f"/v1/conversations/{talk['id']}/items")[0] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [{"type": "item_reference", "id": "x"}]}, "items.0.type"),
        ({"items": [{"type": "message", "content": "x"}]}, "items.0.role"),
        ({"items": [{"role": "user"}]}, "items.0.content"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"items": []}, "items"),
        ({}, "items"),
        ({"items": 5}, "items"),
    ],
)
def test_wrong_items_are_refused(server, body, param):
    """A conversation takes whole items, 1 to 20 at a time; what is wrong is named."""
    _, talk = server.post("/v1/conversations")
    status, refused = server.post(f"/v1/conversations/{talk['id']}/items", **body)
    assert (status, refused["error"]["param"]) == (400, param)


def test_a_conversation_that_is_not_there_is_not_found(server):
    """Every route of an unknown conversation, or of an unknown item, is a 404."""
    _, talk = server.post("/v1/conversations")
    item = {"items": [{"role": "user", "content": "x"}]}
    for path in ("/v1/conversations/conv_none", f"/v1/conversations/{talk['id']}/items/msg_none"):
        for method, end, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "", {"metadata": {}}),
            ("GET", "/items", None),
            ("POST", "/items", item),
        ):
            status, _, _refused = server.ask(method, path + end, body)
            assert status == (405 if method == "POST" and not end and "msg_" in path else 404), (method, path + end)
    status, refused = server.post(PATH, model="echo", input="x", conversation="conv_none")
    assert (status, refused["error"]["param"]) == (404, "conversation")
