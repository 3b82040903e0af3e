"""The real `langchain-openai` library against a running server.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat, COMPAT_EMBED: one for embeddings.
COMPAT_REAL=1: they are real ones. Prints `ok NAME` for every check.
"""

import os
import warnings

warnings.simplefilter("default")  # the library's own warnings are its own business

import pydantic  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings  # noqa: E402

MODEL = os.environ["COMPAT_MODEL"]
EMBED = os.environ.get("COMPAT_EMBED", MODEL)
REAL = os.environ.get("COMPAT_REAL") == "1"
TEXT = '{"name": "Oslo", "size": 7}'


class City(pydantic.BaseModel):
    """A city."""

    name: str = pydantic.Field(max_length=12)
    size: int = pydantic.Field(ge=0, le=99)


def weather(city: str = "Paris") -> str:
    """The weather of a city."""
    return city


def chat(**options):
    return ChatOpenAI(model=MODEL, temperature=0, max_retries=0, **{"max_tokens": 40, **options})


def check_invoke():
    """A conversation is answered, with counts."""
    answer = chat().invoke([SystemMessage("Be brief."), HumanMessage("hello there")])
    assert answer.content if REAL else answer.content == "hello there"
    assert answer.usage_metadata["input_tokens"] > 0


def check_stream():
    """A stream has the pieces of the answer and its counts."""
    chunks = list(chat(stream_usage=True).stream("one two three"))
    text = "".join(chunk.content for chunk in chunks)
    assert text if REAL else text == "one two three"
    assert any(chunk.usage_metadata for chunk in chunks)


def check_tools():
    """A tool that has to be called is called, and its result can be given back."""
    model = chat(max_tokens=200).bind_tools([weather], tool_choice="weather")
    answer = model.invoke("What is the weather in Paris?")
    assert answer.tool_calls[0]["name"] == "weather"
    history = [
        HumanMessage("What is the weather in Paris?"),
        AIMessage("", tool_calls=answer.tool_calls),
        ToolMessage("sunny", tool_call_id=answer.tool_calls[0]["id"]),
    ]
    assert chat().invoke(history).content


def check_structured():
    """Structured output is an object of the class."""
    found = chat(max_tokens=300).with_structured_output(City, method="json_schema").invoke(TEXT)
    assert isinstance(found, City)


def check_completion():
    """The older completions API continues a text."""
    assert OpenAI(model=MODEL, max_tokens=5, max_retries=0).invoke("one two three")


def check_embeddings():
    """Texts become vectors of one length; without the client's own tokenizer, which needs the network."""
    vectors = OpenAIEmbeddings(model=EMBED, check_embedding_ctx_length=False).embed_documents(["a", "b"])
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 1


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
        print("ok", name.removeprefix("check_"), flush=True)
