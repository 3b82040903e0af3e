"""The routes over real HTTP, before a fake of what performs their tasks."""

import codexes
from responding import PATH, ask, events, get, opened, prompt, said


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
