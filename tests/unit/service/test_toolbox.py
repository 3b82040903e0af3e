"""Tools of servers under the names that a model calls them by."""

import pytest

from localai.core.caller import LOCAL
from localai.core.errors import InvalidRequest
from localai.core.task import Call, Tool
from localai.service import toolbox as module
from localai.service.mcpclient import Result
from localai.service.toolbox import Called, Toolbox


class Desk:
    """A server whose tools say their arguments back."""

    def __init__(self, name, *tools):
        self.name = name
        self.tools = tuple(Tool(name=tool) for tool in tools)

    async def call(self, tool, arguments):
        return Result(text=f"{self.name} {tool} {arguments}", error=tool == "bad")


def test_every_name_is_there_once():
    """A tool keeps its name unless it is taken; then the server's name comes before it."""
    box = Toolbox([Desk("a", "find", "look"), Desk("b", "find", "own")], taken=["own"])
    assert [tool.name for tool in box.tools] == ["find", "look", "b_find", "b_own"]
    assert box.holds("b_find")
    assert not box.holds("own")


def test_only_allowed_tools_are_there():
    """Of a server with a list of allowed tools only these are offered."""
    box = Toolbox([Desk("a", "find", "look"), Desk("b", "own")], allowed={"a": ["look", "other"], "b": None})
    assert [tool.name for tool in box.tools] == ["look", "own"]


def test_tools_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """More tools than a request may have are refused."""
    monkeypatch.setattr(module, "TOOLS", 2)
    with pytest.raises(InvalidRequest, match="allowed_tools"):
        Toolbox([Desk("a", "find", "look")], taken=["own"])


async def test_a_call_is_made_and_noted(monkeypatch: pytest.MonkeyPatch):
    """A call goes to its server under its own name; the audit stream has names and outcome, never what was said."""
    lines = []
    monkeypatch.setattr(module.log, "info", lambda event, **fields: lines.append((event, fields)))
    box = Toolbox([Desk("a", "find", "bad"), Desk("b", "find")])
    called = await box.call(LOCAL, Call(id="c1", name="b_find", arguments='{"q": "secret"}'))
    assert called == Called(
        id="c1", server="b", tool="find", arguments='{"q": "secret"}', output="b find {'q': 'secret'}", error=False
    )
    assert (await box.call(LOCAL, Call(id="c2", name="bad", arguments=""))).error
    (first, second) = lines
    assert first[0] == "tool called"
    assert {key: first[1][key] for key in ("caller", "server", "tool", "outcome")} == {
        "caller": "local",
        "server": "b",
        "tool": "find",
        "outcome": "ok",
    }
    assert second[1]["outcome"] == "error"
    assert "secret" not in str(lines)


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "[" * 100_000])
async def test_arguments_that_are_no_object_are_not_sent(arguments: str):
    """A model that writes something else than an object gets an error as the result."""
    called = await Toolbox([Desk("a", "find")]).call(LOCAL, Call(id="c", name="find", arguments=arguments))
    assert (called.error, called.output) == (True, "The arguments are not a JSON object.")
