"""Search in vector stores as a tool."""

import pytest

from echoing import FakePerform, echo
from localai.core.caller import LOCAL
from localai.core.errors import NotFound
from localai.core.event import Done, Text, ToolCall
from localai.core.task import Chat, Generate, Message, TextPart
from localai.service.filesearch import FileSearch
from localai.service.search import Found
from localai.service.toolbox import Toolbox
from localai.service.toolloop import run

HIT = Found(store="vs_1", file="file-1", filename="a.md", attributes={}, score=0.5, text="Dogs bark.")


class Shelf:
    """Finds what it is told to."""

    def __init__(self, *found):
        self.found = list(found)
        self.asked = []

    async def search(self, caller, stores, queries, **how):
        self.asked.append((stores, queries, how["limit"]))
        if stores == ("gone",):
            raise NotFound("There is no such vector store.")
        return self.found


async def test_what_is_found_is_told_and_remembered():
    """A call searches with all its questions; the model reads passages with their files, the caller has the hits."""
    shelf = Shelf(HIT)
    search = FileSearch(shelf, LOCAL, ("vs_1",), limit=3)
    result = await search.call("file_search", {"queries": ["dogs", "barking"]})
    assert (result.text, result.error) == ("[1] a.md\nDogs bark.", False)
    assert shelf.asked == [(("vs_1",), ("dogs", "barking"), 3)]
    assert search.searches[0].found == (HIT,)
    assert (await FileSearch(Shelf(), LOCAL, ("vs_1",)).call("file_search", {"queries": ["x"]})).text


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"queries": "dogs"},
        {"queries": []},
        {"queries": [1, " "]},
        {"queries": ["a", " "]},
        {"queries": ["a"] * 5},
        {"queries": ["a" * 9999]},
    ],
)
async def test_wrong_arguments_are_told(arguments):
    """Arguments without a question are an error result."""
    assert (await FileSearch(Shelf(), LOCAL, ("vs_1",)).call("file_search", arguments)).error


async def test_a_search_that_fails_is_told():
    """An error of the search is an error result with its message."""
    result = await FileSearch(Shelf(), LOCAL, ("gone",)).call("file_search", {"queries": ["x"]})
    assert (result.error, result.text) == (True, "There is no such vector store.")


async def test_it_works_in_the_loop():
    """The loop of tools calls it like any server's tool."""
    rounds = [
        (ToolCall(index=0, id="c", name="file_search", arguments='{"queries": ["dogs"]}'), Done(finish="tool_calls")),
        (Text(text="They bark."), Done()),
    ]
    perform = FakePerform(echo("m"), scripts={"m": lambda: rounds.pop(0)})
    search = FileSearch(Shelf(HIT), LOCAL, ("vs_1",))
    chat = Chat(messages=(Message(role="user", content=(TextPart(text="What do dogs do?"),)),))
    steps = [step async for step in run(perform, LOCAL, "m", Generate(prompt=chat), Toolbox([search]))]
    assert steps[-2:] == [(Text(text="They bark."),), (Done(),)]
    assert perform.asked[1].prompt.messages[-1].content == (TextPart(text="[1] a.md\nDogs bark."),)
