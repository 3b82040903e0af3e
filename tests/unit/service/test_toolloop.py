"""The loop of tools that the server itself calls."""

import pytest

from echoing import FakePerform, echo
from localai.core.caller import LOCAL
from localai.core.errors import EngineCrashed, InvalidRequest
from localai.core.event import Done, Progress, Text, Thought, ToolCall, Usage
from localai.core.task import Chat, Generate, Message, Raw, TextPart, Tool, ToolChoice
from localai.service.mcpclient import Result
from localai.service.toolbox import Called, Calling, Toolbox
from localai.service.toolloop import Limits, run


class Rounds:
    """What the model says in each round; the last is said again and again."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)

    def __call__(self):
        return self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]


class Clock:
    """A server with one tool."""

    name = "desk"
    tools = (Tool(name="clock"), Tool(name="own"))

    def __init__(self):
        self.asked = []

    async def call(self, tool, arguments):
        self.asked.append((tool, arguments))
        return Result(text="noon")


def call(name="clock", index=0, arguments="{}", **more):
    return ToolCall(index=index, id=f"c{index}", name=name, arguments=arguments, **more)


def done(finish="tool_calls", prompt=10, completion=3):
    return Done(finish=finish, usage=Usage(prompt=prompt, completion=completion, cached=1))


def task(tools=(), choice=None, **more):
    chat = Chat(
        messages=(Message(role="user", content=(TextPart(text="What time?"),)),),
        tools=tuple(Tool(name=tool) for tool in tools),
        tool_choice=choice or ToolChoice(),
    )
    return Generate(prompt=chat, **more)


async def walked(rounds, asked=None, **more):
    """All steps of a run, what the model was asked in each round, and the server."""
    asked = asked or task()
    perform, desk = FakePerform(echo("m"), scripts={"m": rounds}), Clock()
    box = Toolbox([desk], [tool.name for tool in asked.prompt.tools])
    steps = [step async for step in run(perform, LOCAL, "m", asked, box, **more)]
    return steps, [one.prompt for one in perform.asked], desk


def events(steps):
    return [event for step in steps if isinstance(step, tuple) for event in step]


async def test_calls_are_made_and_told():
    """A call of a server's tool is made, its result is told the model, and the client sees text and one end."""
    rounds = Rounds(
        (Progress(stage="prefill"), Thought(text="hm"), Text(text="Let me see. "), call(), done()),
        (Text(text="It is noon."), done("stop", prompt=20, completion=4)),
    )
    steps, prompts, desk = await walked(rounds)
    assert desk.asked == [("clock", {})]
    assert events(steps) == [
        Progress(stage="prefill"),
        Thought(text="hm"),
        Text(text="Let me see. "),
        Text(text="It is noon."),
        Done(finish="stop", usage=Usage(prompt=30, completion=7, cached=2)),
    ]
    assert [step for step in steps if not isinstance(step, tuple)] == [
        Calling(id="c0", server="desk", tool="clock", arguments="{}"),
        Called(id="c0", server="desk", tool="clock", arguments="{}", output="noon", error=False),
    ]
    asked, told = prompts[1].messages[1:]
    assert (asked.role, asked.thought, asked.content) == ("assistant", "hm", (TextPart(text="Let me see. "),))
    assert asked.calls[0].name == "clock"
    assert (told.role, told.call_id, told.content) == ("tool", "c0", (TextPart(text="noon"),))


async def test_arguments_come_in_pieces():
    """The pieces of several calls of one turn are put together, and all are made in their order."""
    rounds = Rounds(
        (
            call(arguments='{"zone": '),
            call("own", index=1),
            ToolCall(index=0, arguments='"UTC"}'),
            done(),
        ),
        (Text(text="ok"), done("stop")),
    )
    _, _, desk = await walked(rounds)
    assert desk.asked == [("clock", {"zone": "UTC"}), ("own", {})]


async def test_the_clients_own_calls_are_passed_on():
    """A call of a tool of the client's ends the run with that call; its tool is not the server's of that name."""
    rounds = Rounds((call("own", arguments='{"a": 1}'), done()))
    steps, prompts, desk = await walked(rounds, task(tools=["own"]))
    assert desk.asked == []
    assert events(steps) == [call("own", arguments='{"a": 1}'), done()]
    assert [tool.name for tool in prompts[0].tools] == ["own", "clock", "desk_own"]
    assert prompts[0].parallel_calls is False


async def test_the_last_round_has_no_tools():
    """After so many rounds the model must answer without tools; the run ends whatever it does."""
    steps, prompts, desk = await walked(Rounds((call(), done())), limits=Limits(rounds=3))
    assert len(desk.asked) == 2
    assert [prompt.tool_choice.mode for prompt in prompts] == ["auto", "auto", "none"]
    assert isinstance(events(steps)[-1], Done)


async def test_time_makes_a_round_the_last():
    """Once the time is over the next round is the last."""
    times = iter([0.0, 1.0, 100.0])
    _, prompts, desk = await walked(Rounds((call(), done())), limits=Limits(seconds=50), clock=lambda: next(times))
    assert len(desk.asked) == 1
    assert [prompt.tool_choice.mode for prompt in prompts] == ["auto", "none"]


async def test_calls_of_a_round_are_bounded():
    """Of too many calls at once the rest is not made, and the model is told so."""
    rounds = Rounds((call(), call(index=1), done()), (Text(text="ok"), done("stop")))
    steps, _, desk = await walked(rounds, limits=Limits(calls=1))
    assert len(desk.asked) == 1
    assert [step.error for step in steps if isinstance(step, Called)] == [False, True]


async def test_tokens_are_bounded_over_all_rounds():
    """The ceiling of tokens counts for all rounds together; when it is reached the run ends with `length`."""
    rounds = Rounds((call(), done(completion=3)))
    perform = FakePerform(echo("m"), scripts={"m": rounds})
    steps = [step async for step in run(perform, LOCAL, "m", task(max_tokens=5), Toolbox([Clock()]))]
    assert [one.max_tokens for one in perform.asked] == [5, 2]
    assert events(steps)[-1].finish == "length"


async def test_what_was_required_is_required_once():
    """A required call is required in the first round only."""
    rounds = Rounds((call(), done()), (Text(text="ok"), done("stop")))
    _, prompts, _ = await walked(rounds, task(choice=ToolChoice(mode="required", name="clock")))
    assert [prompt.tool_choice for prompt in prompts] == [ToolChoice(mode="required", name="clock"), ToolChoice()]


async def test_an_error_of_the_model_ends_the_run():
    """What the model ends with is raised, also in a later round."""
    rounds = Rounds((call(), done()), (Text(text="half"), EngineCrashed()))
    with pytest.raises(EngineCrashed):
        await walked(rounds)


async def test_a_run_that_is_closed_stops_the_model():
    """Closing the run cancels the generation that is under way."""
    closed = []

    class Endless:
        async def stream(self, caller, model, task, *, keep_alive=None):
            try:
                while True:
                    yield (Text(text="on "),)
            finally:
                closed.append(model)

    steps = run(Endless(), LOCAL, "m", task(), Toolbox([Clock()]))
    await anext(steps)
    await steps.aclose()
    assert closed == ["m"]


async def test_only_conversations_have_tools():
    """A prompt that is no conversation is refused."""
    with pytest.raises(InvalidRequest):
        await anext(run(FakePerform(), LOCAL, None, Generate(prompt=Raw(text="x")), Toolbox([])))
