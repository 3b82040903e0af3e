"""Responses in the background, over real HTTP."""

import asyncio
import threading

from localai.api.responses.routes import responder, rows
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from responding import PATH, ask, get, opened, resumed, said
from serving import serving


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
