"""The real OpenAI Agents library against a running server: its default, the Responses API, with a tool round.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat. Prints `ok NAME` for every check.
"""

import asyncio
import os
import warnings

warnings.simplefilter("default")  # the library's own warnings are its own business

import pydantic  # noqa: E402
from agents import (  # noqa: E402
    Agent,
    ModelSettings,
    Runner,
    SQLiteSession,
    function_tool,
    set_default_openai_api,
    set_tracing_disabled,
)

MODEL = os.environ["COMPAT_MODEL"]
REAL = os.environ.get("COMPAT_REAL") == "1"
BRIEF = {"temperature": 0, "max_tokens": 60}

set_tracing_disabled(True)
called = []


class City(pydantic.BaseModel):
    """A city."""

    name: str = pydantic.Field(max_length=12)


@function_tool
def weather(city: str = "Paris") -> str:
    """The weather of a city."""
    called.append(city)
    return f"It rains in {city}."


async def check_answer():
    """An agent answers through the Responses API, and through the chat API."""
    for api in ("responses", "chat_completions"):
        set_default_openai_api(api)
        agent = Agent(name="teller", model=MODEL, model_settings=ModelSettings(**BRIEF))
        assert (await Runner.run(agent, "Name a colour.")).final_output
    set_default_openai_api("responses")


async def check_tool():
    """The tool that the model must call is run, and its result ends the run."""
    called.clear()
    agent = Agent(
        name="teller",
        model=MODEL,
        tools=[weather],
        tool_use_behavior="stop_on_first_tool",
        model_settings=ModelSettings(tool_choice="required", **BRIEF),
    )
    result = await Runner.run(agent, "What is the weather in Paris?")
    assert called
    assert result.final_output == f"It rains in {called[0]}."


async def check_stream():
    """The events of a stream add up to the answer."""
    agent = Agent(name="teller", model=MODEL, model_settings=ModelSettings(**BRIEF))
    result = Runner.run_streamed(agent, "Name a colour.")
    said = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            said += event.data.delta
    assert said == result.final_output


async def check_session():
    """A second turn of a session knows the first."""
    agent = Agent(name="teller", model=MODEL, model_settings=ModelSettings(**BRIEF))
    session = SQLiteSession("one")
    await Runner.run(agent, "Name a colour.", session=session)
    assert (await Runner.run(agent, "Name another.", session=session)).final_output
    assert len(await session.get_items()) == 4


async def check_output():
    """A real model's answer is held to the type of the output."""
    if REAL:
        agent = Agent(name="teller", model=MODEL, output_type=City, model_settings=ModelSettings(**BRIEF))
        assert isinstance((await Runner.run(agent, "Which city is the capital of France?")).final_output, City)


async def main():
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            await check()
            print("ok", name.removeprefix("check_"))


asyncio.run(main())
