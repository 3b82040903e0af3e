import io
import subprocess
import sys

import pytest

from localai.loader import template, trial
from localai.loader.trial import Refused, attempt


def test_statuses_have_reasons():
    """Every status of the helper has a reason that its caller tells."""
    statuses = {trial.SYNTAX, trial.UNSAFE, trial.HUGE, trial.MEMORY_SHORT, trial.DEEP}
    assert set(template._REASONS) == statuses
    assert trial.FINE == 0


@pytest.mark.parametrize(
    ("source", "status"),
    [("{% x %}", trial.SYNTAX), ("{{ a.__class__ }}", trial.UNSAFE), ("{{ 'x' * 2000000 }}", trial.HUGE)],
)
def test_attempts(source, status):
    """An attempt names what is wrong with the template."""
    with pytest.raises(Refused) as caught:
        attempt(source)
    assert caught.value.args == (status,)


def test_conversations_reach_the_template():
    """The template sees system, tools, calls and results, lists as content, and the usual names."""
    seen = []
    environment = trial._environment()
    environment.filters["note"] = seen.append
    made = environment.from_string("{{ [messages, tools, add_generation_prompt, bos_token] | note }}")
    for conversation in trial._CONVERSATIONS:
        trial._render(made, conversation)
    roles = [[message["role"] for message in each[0]] for each in seen]
    assert roles[0] == ["system", "user", "assistant", "user"]
    assert isinstance(seen[1][0][0]["content"], list)
    assert roles[2][-2:] == ["assistant", "tool"]
    assert seen[2][1][0]["function"]["name"] == "weather"
    assert seen[0][2] is True
    assert seen[0][3] == "<s>"


@pytest.mark.parametrize(
    "forbidden",
    [
        "open('/etc/passwd')",
        "__import__('socket').socket()",
        "__import__('os').listdir('/')",
        "__import__('os').system('true')",
    ],
)
def test_the_helper_can_open_nothing(forbidden):
    """Once limited, the process opens no file, no socket and no other process, even outside the sandbox."""
    program = (
        "import os, socket, sys; from localai.loader import trial; trial._limit()\n"
        f"try: {forbidden}\nexcept trial.Refused: sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 7, done.stderr


def test_main_answers_by_status(monkeypatch):
    """The helper reads the template from its standard input and answers with a status."""
    monkeypatch.setattr(trial, "_limit", lambda: None)
    for source, status in (("{{ 1 }}", 0), ("{% x %}", trial.SYNTAX)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.encode())))
        assert trial.main() == status


def test_main_tells_memory_and_depth(monkeypatch):
    """Running out of memory or depth is told as such."""
    monkeypatch.setattr(trial, "_limit", lambda: None)
    monkeypatch.setattr(trial, "_warm", lambda _: None)
    for error, status in ((MemoryError, trial.MEMORY_SHORT), (RecursionError, trial.DEEP)):

        def fail(_, error=error):
            raise error

        monkeypatch.setattr(trial, "attempt", fail)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x")))
        assert trial.main() == status
