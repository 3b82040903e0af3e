"""Chat templates of other models, on the real engine: what is written without running is what is read when running."""

import pytest

from llamas import Llama, text
from localai.core.event import Tokens
from localai.core.model import Model, Sizing
from localai.core.task import (
    Call,
    Chat,
    Format,
    FreeText,
    Generate,
    Message,
    Render,
    Schema,
    TextPart,
    Tokenize,
    Tool,
    ToolChoice,
)
from weights import smollm2

pytestmark = pytest.mark.real

STRICT = """
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "system" and not loop.first %}{{ raise_exception("Only the first.") }}{% endif %}
{%- if message.tool_calls %}<|im_start|>assistant
{{ message.content or "" }}{% for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}"""
"""Knows tools and thinking, and takes a system message at the beginning only."""

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL = Tool(name="add", description="Adds.", parameters=SCHEMA)


def words(role: str, content: str, **fields) -> Message:
    return Message(role=role, content=(TextPart(text=content),), **fields)


HISTORY = (
    words("system", "Be kind."),
    words("user", "Add."),
    words("system", "Be brief."),
    words("assistant", "", calls=(Call(id="c", name="add", arguments='{"a": 1}'),)),
    words("tool", "1", call_id="c"),
)
CHATS = [
    Chat(messages=(words("user", "Hi"),)),
    Chat(messages=HISTORY),
    Chat(messages=HISTORY, tools=(TOOL,)),
    Chat(messages=HISTORY, tools=(TOOL,), parallel_calls=False, thinking=False),
    Chat(messages=HISTORY, tools=(TOOL,), tool_choice=ToolChoice(mode="required")),
    Chat(messages=HISTORY, tools=(TOOL,), tool_choice=ToolChoice(mode="required", name="add"), thinking=True),
    Chat(messages=HISTORY, tools=(TOOL,), tool_choice=ToolChoice(mode="none")),
    Chat(messages=(words("user", "Hi"), words("assistant", "Well,")), continue_last=True),
]


@pytest.fixture(scope="module", params=[None, STRICT], ids=["plain", "strict"])
def templated(request, tmp_path_factory):
    """The starter model with its own template, and with one that knows more and takes less."""
    model = Model(name="t", engine="llama", files={"model": str(smollm2())}, template=request.param)
    made = Llama(tmp_path_factory.mktemp("llama"), model, Sizing(context=1024, threads=1))
    assert made.loaded.tools == (request.param is not None)
    yield made
    made.engine.close()


@pytest.mark.parametrize("number", range(len(CHATS)))
@pytest.mark.parametrize("form", [FreeText(), Schema(schema=SCHEMA)], ids=["free", "held"])
def test_what_is_rendered_is_what_is_read(templated: Llama, number: int, form: Format):
    """The tokens of the rendered conversation are as many as the generation reads, whatever the tools."""
    chat = CHATS[number]
    if not isinstance(form, FreeText):
        chat = Chat(messages=chat.messages, tools=chat.tools, tool_choice=chat.tool_choice, thinking=False)
    (tokens, _) = templated.ask(Tokenize(text=text(templated.ask(Render(chat=chat)))))
    assert isinstance(tokens, Tokens)
    done = templated.ask(Generate(prompt=chat, format=form, max_tokens=1))[-1]
    assert done.usage.prompt == len(tokens.ids)


def test_a_late_system_message_is_read_in_its_place(templated: Llama):
    """A system message in the middle is in the prompt at its place, whether or not the template takes it there."""
    written = text(templated.ask(Render(chat=Chat(messages=HISTORY))))
    assert written.index("Add.") < written.index("Be brief.") < written.index('"arguments"')
    role = "user" if templated.loaded.tools else "system"
    assert f"<|im_start|>{role}\nBe brief." in written
