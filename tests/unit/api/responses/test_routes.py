"""The routes over real HTTP, before a fake of what performs their tasks."""

import asyncio
import json
import threading

import pytest

import codexes
from echoing import FakePerform, echo
from localai.api.responses.routes import responder, rows
from localai.core.errors import EngineCrashed, RateLimited
from localai.core.event import Done, Text, Thought, ToolCall, Usage
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from serving import serving
from sse import Stream

PATH = "/v1/responses"


def busy():
    raise RateLimited(retry_after=2)


def calls():
    yield ToolCall(index=0, id="call_9", name="mcp__maps__find", arguments='{"city": "Rome"}')
    yield Done(finish="tool_calls", usage=Usage(prompt=9, completion=4))


def thinks():
    yield Thought(text="hm")
    yield Text(text="ok")
    yield Done(usage=Usage(prompt=9, completion=4, thought=1))


SCRIPTS = {
    "dies": lambda: (Text(text="half"), EngineCrashed("The process died.")),
    "ends": lambda: (Text(text="half"),),
    "busy": busy,
    "calls": calls,
    "thinks": thinks,
}


@pytest.fixture(scope="module")
def perform():
    return FakePerform(echo(), echo("slow", delay=0.02), *map(echo, SCRIPTS), scripts=SCRIPTS, context=4000)


@pytest.fixture(scope="module")
def server(perform, tmp_path_factory):
    database = asyncio.run(Database.open(tmp_path_factory.mktemp("state") / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations)
    with serving(rows(answering, responses, conversations, Runs())) as running:
        yield running


def ask(server, text="to be", model="echo", **fields):
    status, answer = server.post(PATH, model=model, input=text, **fields)
    assert status == 200, answer
    return answer


def get(server, path):
    status, _, answer = server.ask("GET", path)
    return status, answer


def opened(server, body):
    return Stream(server.port, server.key, PATH, body, timeout=30).open()


def events(server, text="to be", model="echo", **fields):
    return list(opened(server, {"model": model, "input": text, "stream": True, **fields}).events())


def resumed(server, path):
    _, headers, text = server.ask("GET", path)
    assert headers["content-type"].startswith("text/event-stream")
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def said(answer):
    return "".join(part["text"] for item in answer["output"] for part in item.get("content", ()))


def prompt(perform):
    """The turns of the last task: pairs of role and text."""
    messages = perform.asked[-1].prompt.messages
    return [(message.role, "".join(part.text for part in message.content)) for message in messages]


def test_a_question_is_answered_with_and_without_the_prefix(server):
    """A text is answered, at both paths, under the installed name."""
    for path in (PATH, "/responses"):
        status, answer = server.post(path, model="echo", input="to be")
        assert (status, answer["object"], answer["model"], said(answer)) == (200, "response", "echo", "to be")
    status, answer = server.post(PATH, input="no model named")
    assert (status, answer["model"]) == (200, "echo")


def test_a_stream_ends_with_what_the_whole_answer_is(server):
    """A streamed response ends with the same object as one that is not streamed, but for ids and times."""
    told = events(server)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["type"] == "response.completed"
    streamed, whole = told[-1]["response"], ask(server)
    changing = {"id", "created_at", "completed_at", "output"}
    assert {k: v for k, v in streamed.items() if k not in changing} == {
        k: v for k, v in whole.items() if k not in changing
    }
    assert said(streamed) == said(whole)


def test_a_response_continues_another(server, perform):
    """The items of all responses before are read, the instructions of this request only."""
    first = ask(server, "one", instructions="Be brief.")
    assert prompt(perform) == [("system", "Be brief."), ("user", "one")]
    second = ask(server, "two", previous_response_id=first["id"])
    ask(server, "three", previous_response_id=second["id"], instructions="Be long.")
    assert prompt(perform) == [
        ("system", "Be long."),
        ("user", "one"),
        ("assistant", "one"),
        ("user", "two"),
        ("assistant", "two"),
        ("user", "three"),
    ]


def test_a_streamed_response_is_stored_before_it_says_that_it_is_complete(server):
    """Who has heard the end can go on from there at once."""
    stream = opened(server, {"model": "echo", "input": "one", "stream": True})
    last = next(event for event in stream.events() if event["type"] == "response.completed")
    assert get(server, f"{PATH}/{last['response']['id']}")[1] == last["response"]


def test_what_is_not_to_be_stored_is_not(server):
    """With `store: false` a response can neither be read nor continued nor referred to."""
    answer = ask(server, store=False)
    path = f"{PATH}/{answer['id']}"
    assert get(server, path)[0] == get(server, f"{path}/input_items")[0] == 404
    status, refused = server.post(PATH, model="echo", input="x", previous_response_id=answer["id"])
    assert (status, refused["error"]["param"]) == (404, "previous_response_id")
    reference = {"type": "item_reference", "id": answer["output"][0]["id"]}
    status, refused = server.post(PATH, model="echo", input=[reference])
    assert (status, refused["error"]["param"]) == (404, "input.0.id")


def test_an_item_is_referred_to_by_its_id(server, perform):
    """A reference is the item, wherever it is stored: in a response, in a conversation, in the history."""
    answer = ask(server, "one")
    _, talk = server.post("/v1/conversations", items=[{"role": "user", "content": "kept"}])
    _, listed = get(server, f"/v1/conversations/{talk['id']}/items")
    references = [{"id": answer["output"][0]["id"]}, {"type": "item_reference", "id": listed["data"][0]["id"]}]
    status, _ = server.post(PATH, model="echo", input=[*references, {"role": "user", "content": "two"}])
    assert status == 200
    assert prompt(perform) == [("assistant", "one"), ("user", "kept"), ("user", "two")]


def test_input_items_are_paged(server):
    """The input of a response is listed in either order, page by page, each item once."""
    answer = server.post(PATH, model="echo", input=[{"role": "user", "content": str(place)} for place in range(5)])[1]
    path = f"{PATH}/{answer['id']}/input_items"
    ids = [item["id"] for item in get(server, f"{path}?order=asc")[1]["data"]]
    assert [item["id"] for item in get(server, path)[1]["data"]] == ids[::-1]
    seen, after, more = [], "", True
    while more:
        _, page = get(server, f"{path}?order=asc&limit=2{after}")
        seen += [item["id"] for item in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        after, more = f"&after={page['last_id']}", page["has_more"]
    assert seen == ids
    for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=none"):
        status, refused = get(server, f"{path}?{query}")
        assert (status, refused["error"]["param"]) == (404 if "after" in query else 400, query.split("=")[0])


def test_a_deleted_response_is_gone(server):
    """A deleted response is a 404 on every route, and so is one that never was."""
    answer = ask(server)
    status, _, deleted = server.ask("DELETE", f"{PATH}/{answer['id']}")
    assert (status, deleted) == (200, {"id": answer["id"], "object": "response", "deleted": True})
    for identifier in (answer["id"], "resp_none"):
        for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
            status, _, refused = server.ask(method, f"{PATH}/{identifier}{end}")
            assert (status, refused["error"]["code"]) == (404, "not_found"), end
        assert get(server, f"{PATH}/{identifier}?stream=true")[0] == 404


def test_a_background_response_is_followed_from_any_event_on(server):
    """Its stream can be read while it runs and later, whole or behind any number, and is the same each time."""
    stream = opened(server, {"model": "slow", "input": "a b c d e f", "stream": True, "background": True})
    first = [event for event, _ in zip(stream.events(), range(5), strict=False)]
    assert [event["type"] for event in first[:3]] == ["response.created", "response.queued", "response.in_progress"]
    stream.close()
    path = f"{PATH}/{first[0]['response']['id']}"
    assert get(server, path)[1]["status"] in {"queued", "in_progress", "completed"}
    whole = resumed(server, f"{path}?stream=true")
    assert whole[:5] == first
    assert (whole[-1]["type"], said(whole[-1]["response"])) == ("response.completed", "a b c d e f")
    for after in (0, 4, len(whole) - 1):
        assert resumed(server, f"{path}?stream=true&starting_after={after}") == whole[after + 1 :]
    assert get(server, path)[1] == whole[-1]["response"]


def test_the_end_is_told_when_the_events_are_no_longer_kept(server):
    """The stream of a response that has none is its beginning and its end, or the end behind any number."""
    answer = ask(server)
    whole = resumed(server, f"{PATH}/{answer['id']}?stream=true")
    assert [event["type"] for event in whole] == ["response.created", "response.completed"]
    assert (whole[0]["response"]["output"], whole[1]["response"]) == ([], answer)
    (last,) = resumed(server, f"{PATH}/{answer['id']}?stream=true&starting_after=41")
    assert (last["sequence_number"], last["response"]) == (42, answer)
    for query in ("stream=maybe", "stream=true&starting_after=x", "stream=true&starting_after=-1"):
        assert get(server, f"{PATH}/{answer['id']}?{query}")[0] == 400


def test_a_background_response_is_cancelled(server, perform):
    """Cancelling ends the generation, keeps what was said, and does no more when it is done again."""
    answer = ask(server, "word " * 500, "slow", background=True)
    assert answer["status"] == "queued"
    path = f"{PATH}/{answer['id']}"
    while not get(server, path)[1]["output"]:
        threading.Event().wait(0.01)
    stopped = perform.stopped
    status, cancelled = server.post(f"{path}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelled")
    assert said(cancelled).startswith("word")
    assert cancelled["output"][0]["status"] == "incomplete"
    assert perform.stopped == stopped + 1
    assert get(server, path)[1] == cancelled
    assert server.post(f"{path}/cancel") == (200, cancelled)
    assert resumed(server, f"{path}?stream=true")[-1]["response"] == cancelled


def test_only_what_runs_in_the_background_can_be_cancelled(server):
    """A response that was answered at once is not cancelled afterwards."""
    status, refused = server.post(f"{PATH}/{ask(server)['id']}/cancel")
    assert (status, refused["error"]["code"]) == (400, "invalid_value")


def test_a_running_response_can_be_deleted_but_not_continued(server):
    """While it runs a response cannot be continued; deleting it ends it."""
    answer = ask(server, "word " * 500, "slow", background=True)
    status, refused = server.post(PATH, model="echo", input="x", previous_response_id=answer["id"])
    assert (status, refused["error"]["param"]) == (409, "previous_response_id")
    assert server.ask("DELETE", f"{PATH}/{answer['id']}")[0] == 200
    assert get(server, f"{PATH}/{answer['id']}")[0] == 404


def test_a_background_response_that_fails_says_so(server):
    """A failure in the background is stored and is the last event of its stream."""
    for model, code in (("dies", "server_error"), ("busy", "rate_limit_exceeded"), ("ends", "server_error")):
        answer = ask(server, "x", model, background=True)
        last = resumed(server, f"{PATH}/{answer['id']}?stream=true")[-1]
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", code)
        assert get(server, f"{PATH}/{answer['id']}")[1] == last["response"]


def test_a_response_that_nobody_works_on_is_failed(server, perform, tmp_path):
    """A response that is stored as waiting, while no run has it, is told as failed: nobody waits for ever."""
    database = asyncio.run(Database.open(tmp_path / "state.db"))
    responses, conversations, runs = Responses(database), Conversations(database), Runs()
    answering = responder(perform, responses, conversations)
    with serving(rows(answering, responses, conversations, runs)) as other:
        answer = ask(other, "word " * 500, "slow", background=True)
        runs._running.pop(("local", answer["id"]))
        found = get(other, f"{PATH}/{answer['id']}")[1]
        assert (found["status"], found["error"]["code"]) == ("failed", "server_error")


def test_a_stream_that_breaks_ends_with_its_failure(server):
    """A failure in the middle is `response.failed`, stored as such; without a stream it is an HTTP error."""
    for model in ("dies", "ends"):
        last = events(server, "x", model)[-1]
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
        assert get(server, f"{PATH}/{last['response']['id']}")[1] == last["response"]
    status, answer = server.post(PATH, model="dies", input="x")
    assert (status, answer["error"]["code"]) == (502, "engine_crashed")


def test_what_fails_at_once_is_an_http_error(server):
    """Unknown models, long prompts and busy servers are told by status, streamed or not, with the time to come back."""
    for streamed in (False, True):
        status, answer = server.post(PATH, model="none", input="x", stream=streamed)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "model_not_found", "model")
        status, answer = server.post(PATH, model="echo", input="long " * 5000, stream=streamed)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        status, headers, answer = server.ask("POST", PATH, {"model": "busy", "input": "x", "stream": streamed})
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (429, "2", "true")
    status, answer = server.post(PATH, model="echo")
    assert (status, answer["error"]["param"]) == (400, "input")


def test_a_long_conversation_is_shortened_on_request(server, perform):
    """With `truncation: auto` the oldest turns are left out; without it, or when the last does not fit, it is a 400."""
    items = [{"role": "user", "content": f"{place} " + "word " * 900} for place in range(6)]
    items[-1]["content"] = "long " * 5000
    for truncation in ("auto", "disabled"):
        status, refused = server.post(PATH, model="echo", input=items, truncation=truncation)
        assert (status, refused["error"]["code"]) == (400, "context_length_exceeded")
    assert len(perform.asked[-2].prompt.messages) == 1


def test_codex_is_served(server, perform):
    """A turn of Codex is accepted as it is and streamed to its end, with usage and with calls that it knows."""
    told = list(opened(server, codexes.request("calls", "Find Rome.")).events())
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    last = told[-1]
    assert (last["type"], last["response"]["usage"]["total_tokens"]) == ("response.completed", 13)
    (call,) = last["response"]["output"]
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "find", "mcp__maps")
    task = perform.asked[-1]
    assert [tool.name for tool in task.prompt.tools] == ["exec_command", "mcp__maps__find"]
    assert [message.role for message in task.prompt.messages] == [
        "system",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    last = list(opened(server, codexes.request("thinks", "Think.")).events())[-1]
    reasoning = last["response"]["output"][0]
    again = codexes.request("thinks", "And now?")
    again["input"][-1:-1] = [reasoning]
    assert list(opened(server, again).events())[-1]["type"] == "response.completed"
    assert "hm" in [message.thought for message in perform.asked[-1].prompt.messages]


def test_a_warm_up_is_answered(server):
    """An empty input with one token to generate, as Codex sends it to load a model, is no error."""
    assert ask(server, "", max_output_tokens=1)["status"] == "completed"


def test_prompts_are_counted(server):
    """The tokens of a prompt are counted by the model's own template, with what it continues."""
    status, answer = server.post(f"{PATH}/input_tokens", model="echo", input="one two")
    assert (status, answer) == (200, {"object": "response.input_tokens", "input_tokens": 3})
    first = ask(server, "one two")
    _, more = server.post(f"{PATH}/input_tokens", model="echo", input="x", previous_response_id=first["id"])
    assert more["input_tokens"] > 3
    assert server.post(f"{PATH}/input_tokens", model="none", input="x")[0] == 404
    assert server.post(f"{PATH}/input_tokens", model="echo")[0] == 400


def test_a_conversation_is_summed_up(server, perform):
    """A compaction keeps what the user said and packs the rest into one item, which can be continued from."""
    first = ask(server, "my name is Ann")
    status, short = server.post(f"{PATH}/compact", model="thinks", previous_response_id=first["id"])
    assert (status, short["object"]) == (200, "response.compaction")
    kept, packed = short["output"]
    assert (kept["role"], packed["type"]) == ("user", "compaction")
    assert short["usage"]["input_tokens"] == 9
    status, _ = server.post(PATH, model="echo", input=[*short["output"], {"role": "user", "content": "go on"}])
    assert status == 200
    assert [text.split("\n")[-1] for _, text in prompt(perform)] == ["my name is Ann", "ok", "go on"]


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
