"""`localai run` with a question."""

import json
import os
import signal
import subprocess
import sys

import pytest

from serverdouble import Canned, ServerDouble, ndjson, said, sse

CHAT = "/v1/chat/completions"


@pytest.fixture
def installed(server: ServerDouble) -> ServerDouble:
    """A server with the starter and another model."""
    for name in ("smollm2-135m", "gpt-4o-mini"):
        server.on("GET", f"/v1/models/{name}", Canned({"id": name}))
    server.on("GET", "/v1/models", Canned({"data": [{"id": "smollm2-135m"}]}))
    server.on("POST", CHAT, Canned(pieces=said("Because", " of", " air.")))
    return server


def test_a_prompt_alone_asks_the_starter(installed: ServerDouble, cli):
    """`localai run "..."` asks the starter, and the answer is all that is on standard output."""
    result = cli("run", "Why is the sky blue?")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Because of air.\n", "")
    (body,) = installed.bodies(CHAT)
    assert body["model"] == "smollm2-135m"
    assert body["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]


def test_a_model_and_a_prompt(installed: ServerDouble, cli):
    """The first word may be an installed model or an alias; the other words are the prompt."""
    cli("run", "gpt-4o-mini", "Why", "is", "it?")
    (body,) = installed.bodies(CHAT)
    assert (body["model"], body["messages"][0]["content"]) == ("gpt-4o-mini", "Why is it?")


def test_piped_text_follows_the_prompt(installed: ServerDouble, cli):
    """What is piped in comes after the prompt, and is the prompt when there is none."""
    cli("run", "Summarise this text:", piped="Long text\n")
    cli("run", piped="Hello")
    contents = [body["messages"][0]["content"] for body in installed.bodies(CHAT)]
    assert contents == ["Summarise this text:\n\nLong text", "Hello"]


def test_options_reach_the_request(installed: ServerDouble, cli):
    """System message, sampling and lifetime are sent."""
    options = ("--system", "Be brief.", "--temperature", "0", "--max-tokens", "9", "--seed", "7", "--format", "json")
    cli("run", "Hi there", *options, "--think", "--keep-alive", "10m")
    (body,) = installed.bodies(CHAT)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"], body["seed"], body["keep_alive"]) == (0, 9, 7, 600)
    assert body["chat_template_kwargs"] == {"enable_thinking": True}


def test_raw_uses_no_template(installed: ServerDouble, cli):
    """--raw sends the prompt to the completions API."""
    installed.on("POST", "/v1/completions", Canned(pieces=sse({"choices": [{"index": 0, "text": " upon"}]})))
    assert cli("run", "--raw", "Once there was").stdout == " upon\n"


def test_verbose_figures_are_no_data(installed: ServerDouble, cli):
    """--verbose writes its figures to standard error."""
    result = cli("run", "--verbose", "Hi there")
    assert result.stdout == "Because of air.\n"
    assert "12 tokens, 4 of them cached" in result.stderr


def test_a_missing_starter_is_pulled_without_asking(server: ServerDouble, cli):
    """When the starter is not installed it is pulled, with progress on standard error, and then answers."""
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson({"phase": "installed", "name": "smollm2-135m"})))
    server.on("GET", "/v1/models", Canned({"data": []}))
    server.on("POST", CHAT, Canned(pieces=said("Hi!")))
    result = cli("run", "Hello")
    assert (result.exit_code, result.stdout) == (0, "Hi!\n")
    assert "smollm2-135m is installed" in result.stderr
    assert server.bodies("/api/admin/pull") == [{"source": "starter"}]


@pytest.mark.parametrize("name", ["starter", "smollm2-135m"])
def test_the_starter_by_name_is_pulled(server: ServerDouble, cli, name: str):
    """`localai run smollm2-135m "..."` pulls the starter when it is missing."""
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson({"phase": "installed", "name": "smollm2-135m"})))
    server.on("POST", CHAT, Canned(pieces=said("Hi!")))
    assert cli("run", name, "Hello").stdout == "Hi!\n"


def test_another_model_is_not_pulled_unasked(server: ServerDouble, cli):
    """Off a terminal a reference that is not installed is exit code 3, with the command that installs it."""
    result = cli("run", "hf:org/repo", "Hello")
    assert result.exit_code == 3
    assert "`localai pull hf:org/repo`" in result.stderr
    assert server.bodies("/api/admin/pull") == []


@pytest.mark.parametrize(("typed", "code", "pulls"), [(True, 0, 1), (False, 1, 0)])
def test_another_model_is_asked_about(server: ServerDouble, cli, monkeypatch, typed: bool, code: int, pulls: int):
    """On a terminal a missing reference is asked about; a no pulls nothing."""
    monkeypatch.setattr("localai.cli.run.interactive", lambda: True)
    monkeypatch.setattr("localai.cli.run.agreed", lambda _: typed)
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson({"phase": "installed", "name": "repo"})))
    server.on("POST", CHAT, Canned(pieces=said("Hi!")))
    assert cli("run", "hf:org/repo", "Hello").exit_code == code
    assert len(server.bodies("/api/admin/pull")) == pulls


@pytest.mark.parametrize("words", [("smollm2-153m",), ("smollm2-153m", "Hello")])
def test_a_misspelled_model_is_not_taken_for_a_prompt(installed: ServerDouble, cli, words: tuple[str, ...]):
    """A word close to an installed name is exit code 3 and asks whether that was meant."""
    result = cli("run", *words)
    assert result.exit_code == 3
    assert "Did you mean `smollm2-135m`?" in result.stderr


def test_unquoted_words_are_explained(installed: ServerDouble, cli):
    """Several words whose first is no model are exit code 3, and the answer shows the quotes."""
    result = cli("run", "why", "is", "it")
    assert result.exit_code == 3
    assert 'localai run "why is it"' in result.stderr


def test_no_prompt_off_a_terminal_is_a_usage_error(installed: ServerDouble, cli):
    """Without a prompt, where nobody can type one, it is a usage error."""
    assert cli("run", "smollm2-135m").exit_code == 2


def test_a_stream_that_is_cut_is_a_failure(installed: ServerDouble, cli):
    """Half an answer is exit code 1, however much of it was written."""
    installed.on("POST", CHAT, Canned(pieces=said("Half")[:2]))
    result = cli("run", "Hi there")
    assert (result.exit_code, result.stdout) == (1, "Half\n")
    assert "cut" in result.stderr


@pytest.mark.parametrize(("code", "exit_code"), [("not_enough_memory", 6), ("engine_crashed", 1)])
def test_an_error_in_the_stream_has_its_exit_code(installed: ServerDouble, cli, code: str, exit_code: int):
    """An error event in the middle of an answer decides the exit code."""
    error = {"error": {"message": "It is over.", "code": code}}
    installed.on("POST", CHAT, Canned(pieces=sse(error, end=False)))
    result = cli("run", "Hi there")
    assert result.exit_code == exit_code
    assert "It is over." in result.stderr


def test_an_interrupt_stops_the_generation(installed: ServerDouble):
    """Ctrl-C closes the connection, keeps what was written, and is exit code 130."""
    installed.on("POST", CHAT, Canned(pieces=said("Half")[:2], hold=True))
    command = [sys.executable, "-c", "from localai.cli.main import main; main()", "run", "Hi there"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"Half"
        os.kill(process.pid, signal.SIGINT)
        assert installed.left.wait(10)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_a_schema_file_is_sent(installed: ServerDouble, cli, tmp_path):
    """--format FILE sends the schema in the file."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"type": "object"}))
    cli("run", "Hi there", "--format", str(path))
    assert installed.bodies(CHAT)[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
