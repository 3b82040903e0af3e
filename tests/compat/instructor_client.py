"""The real `instructor` library against a running server: an object out of a model, in each of its ways to ask.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat. COMPAT_REAL=1: it is a real one.
Prints `ok NAME` for every check.
"""

import os
import warnings

warnings.simplefilter("default")  # the library's own warnings are its own business

import instructor  # noqa: E402
import openai  # noqa: E402
import pydantic  # noqa: E402

MODEL = os.environ["COMPAT_MODEL"]
REAL = os.environ.get("COMPAT_REAL") == "1"
ASKED = {"model": MODEL, "temperature": 0, "max_tokens": 300, "max_retries": 0}


class City(pydantic.BaseModel):
    """A city; it has defaults, for an engine that only says things back calls the tool without arguments."""

    name: str = pydantic.Field(default="Paris", max_length=12)
    size: int = pydantic.Field(default=2, ge=0, le=99)


def asked(mode, text='{"name": "Oslo", "size": 7}', **options):
    client = instructor.from_openai(openai.OpenAI(), mode=mode)
    return client.chat.completions.create(
        response_model=City, messages=[{"role": "user", "content": text}], **ASKED, **options
    )


def check_tools():
    """A forced tool call is a valid object."""
    assert isinstance(asked(instructor.Mode.TOOLS), City)


def check_json():
    """A JSON answer is a valid object."""
    assert isinstance(asked(instructor.Mode.JSON), City)


def check_schema():
    """A JSON answer held to the schema is a valid object."""
    assert isinstance(asked(instructor.Mode.JSON_SCHEMA), City)


def check_partial():
    """An object that is streamed grows piece by piece and is valid at its end."""
    client = instructor.from_openai(openai.OpenAI(), mode=instructor.Mode.TOOLS)
    pieces = list(
        client.chat.completions.create_partial(
            response_model=City, messages=[{"role": "user", "content": "Oslo has size 7"}], **ASKED
        )
    )
    assert isinstance(pieces[-1].name, str)


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
        print("ok", name.removeprefix("check_"), flush=True)
