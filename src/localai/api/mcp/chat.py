"""POST /v1/mcp/chat/completions: the chat API, with the tools of configured MCP servers called by this server."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

import msgspec
from pydantic import Field

from localai.api.merge import Numbered
from localai.api.openai.chat import ChatBody
from localai.api.openai.tools import ChoiceBody, NameBody
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.core.task import Chat, Generate, ToolChoice
from localai.service.mcpclient import McpClient
from localai.service.perform import Perform
from localai.service.toolbox import Toolbox
from localai.service.toolloop import run

Name = Annotated[str, Field(min_length=1, max_length=64)]


class McpChatBody(ChatBody):
    """A chat request; `mcp_servers` names the servers whose tools the model may use."""

    mcp_servers: Annotated[list[Name], Field(max_length=64)] | None = Field(
        default=None, description="Names of configured servers; left out: all of them."
    )
    allowed_tools: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=512)] | None = Field(
        default=None, description="The only tools of those servers that are offered; left out: all."
    )


def chosen(body: McpChatBody, client: McpClient) -> list[str]:
    """The servers of a request; each is configured.

    Raises:
        NotFound: One is not.
        InvalidRequest: More than one choice is asked for.
    """
    if (body.n or 1) > 1:
        raise InvalidRequest("With tools that the server calls there is one choice; leave `n` out.", param="n")
    names = list(client.remotes.names) if body.mcp_servers is None else body.mcp_servers
    for name in names:
        client.remotes.get(name, "mcp_servers")
    return names


def plain(body: McpChatBody) -> McpChatBody:
    """The request without its rule for choosing tools, which may name one that only a server knows."""
    return body.model_copy(update={"tool_choice": None})


def rule(body: McpChatBody) -> ToolChoice:
    """How the model is to choose among the tools of both kinds.

    Raises:
        InvalidRequest: `allowed_tools` within `tool_choice`: here it is a field of its own.
    """
    match body.tool_choice:
        case None | ChoiceBody(word="auto"):
            return ToolChoice()
        case ChoiceBody(word="none"):
            return ToolChoice(mode="none")
        case ChoiceBody(word="required" | "any"):
            return ToolChoice(mode="required")
        case (
            ChoiceBody(function=NameBody(name=name))
            | ChoiceBody(custom=NameBody(name=name))
            | ChoiceBody(name=str() as name)
        ):
            return ToolChoice(mode="required", name=name)
        case ChoiceBody():
            raise InvalidRequest(
                "`tool_choice` must be `auto`, `none`, `required` or name a tool; choose among tools of servers with "
                "`allowed_tools`.",
                param="tool_choice",
            )


def _ruled(task: Generate, choice: ToolChoice, toolbox: Toolbox) -> Generate:
    if not isinstance(task.prompt, Chat):
        return task
    names = {tool.name for tool in (*task.prompt.tools, *toolbox.tools)}
    if choice.mode == "required" and (not names or (choice.name is not None and choice.name not in names)):
        raise InvalidRequest("`tool_choice` asks for a tool that is not there.", param="tool_choice")
    return msgspec.structs.replace(task, prompt=msgspec.structs.replace(task.prompt, tool_choice=choice))


async def answered(
    perform: Perform,
    client: McpClient,
    caller: Caller,
    body: McpChatBody,
    servers: Sequence[str],
    task: Generate,
    keep_alive: float | None,
) -> AsyncGenerator[Numbered, None]:
    """The events of the answer, all rounds in one; sessions are open for as long as it takes."""
    taken = [tool.name for tool in task.prompt.tools] if isinstance(task.prompt, Chat) else []
    async with client.sessions(servers) as sessions:
        toolbox = Toolbox(sessions, taken, dict.fromkeys(servers, body.allowed_tools))
        asked = _ruled(task, rule(body), toolbox)
        steps = run(perform, caller, body.model, asked, toolbox, keep_alive=keep_alive)
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, tuple):
                    yield 0, step
