"""The command line as a user has it: the real program, a real server, a real terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway, write_echo

LOCALAI = str(Path(sys.executable).parent / "localai")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCALAI_")}
    return kept | {f"LOCALAI_{name.upper()}": value for name, value in settings.items()}


def _localai(environment: dict[str, str], *args: str, piped: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOCALAI, *args], env=environment, input=piped, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def served(echo_gateway: Gateway) -> dict[str, str]:
    """The environment of a user whose server runs."""
    return _environment(home=str(echo_gateway.home), port=str(echo_gateway.port))


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a model and no server."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write_echo(home, aliases=["parrot"])
    return _environment(home=str(home), port=str(_unused()))


def _unused() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)


def test_the_running_server_is_found(served: dict[str, str]):
    """With the home and port of a running server, `list` shows its models."""
    result = _localai(served, "list", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert {"echo", "slow"} <= {row["name"] for row in json.loads(result.stdout)}


def test_run_answers(served: dict[str, str]):
    """`run MODEL PROMPT` writes the answer, and nothing else, to standard output."""
    result = _localai(served, "run", "parrot", "one two three", "--max-tokens", "100")
    assert (result.returncode, result.stdout, result.stderr) == (0, "one two three\n", "")


def test_run_takes_a_raw_prompt_and_piped_text(served: dict[str, str]):
    """--raw goes through the completions API, and piped text follows the prompt."""
    assert _localai(served, "run", "echo", "--raw", "one two").stdout == "one two\n"
    assert _localai(served, "run", "echo", "one", piped="two").stdout == "one\n\ntwo\n"


def test_escape_codes_of_a_model_do_not_reach_the_terminal(served: dict[str, str]):
    """What a model says cannot steer the terminal."""
    result = _localai(served, "run", "echo", "red \x1b[31m \x9b2J bell\x07 here")
    assert result.stdout == "red \\x1b[31m \\x9b2J bell\\x07 here\n"


def test_load_ps_stop(served: dict[str, str]):
    """`load` loads, `ps` shows it, `stop` unloads it."""
    assert _localai(served, "load", "echo", "--keep-alive", "always").returncode == 0
    rows = json.loads(_localai(served, "ps", "--json").stdout)["models"]
    assert [row["state"] for row in rows if row["name"] == "echo"] == ["ready"]
    assert _localai(served, "stop", "echo").returncode == 0
    rows = json.loads(_localai(served, "ps", "--json").stdout)["models"]
    assert "ready" not in [row["state"] for row in rows if row["name"] == "echo"]


def test_show_and_status(served: dict[str, str], echo_gateway: Gateway):
    """`show` tells what a model is, also by its alias, and `status` how the server is."""
    assert "engine" in _localai(served, "show", "parrot").stdout
    assert json.loads(_localai(served, "show", "echo", "--json").stdout)["name"] == "echo"
    assert "name: echo" in _localai(served, "show", "echo", "--yaml").stdout
    status = json.loads(_localai(served, "status", "--json").stdout)
    assert (status["url"], status["home"]) == (echo_gateway.url, str(echo_gateway.home))
    assert "installed" in _localai(served, "status").stdout


def test_a_key_lives_from_create_to_revoke(served: dict[str, str], echo_gateway: Gateway):
    """A key made with `keys create` may do what its scope says, no more, and nothing once it is revoked."""
    made = json.loads(_localai(served, "keys", "create", "walk", "--model", "echo", "--expires", "1h", "--json").stdout)
    user = _environment(host=echo_gateway.url, api_key=made["secret"])
    assert _localai(user, "run", "echo", "hello you").stdout == "hello you\n"
    assert _localai(user, "ps").returncode == 4
    assert _localai(user, "run", "slow", "hello you").returncode == 3
    assert made["id"] in _localai(served, "keys", "list").stdout
    assert _localai(served, "keys", "revoke", made["id"]).returncode == 0
    _until(lambda: _localai(user, "run", "echo", "hello you").returncode == 4, "the revoked key still works")


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("show", "nothing"), 3, "nothing"),
        (("run", "nothing", "Hello"), 3, "nothing"),
        (("run", "ecco", "Hello"), 3, "Did you mean `echo`"),
        (("rm", "-y", "../../etc/passwd"), 1, "model name"),
        (("list", "--api-key", "sk-wrong"), 4, "--api-key"),
        (("list", "--nonsense"), 2, "--nonsense"),
        (("lst",), 2, "'list'"),
        (("list", "--host", "127.0.0.1", "--port", "1"), 5, "localai serve"),
        (("load", "nothing"), 3, "nothing"),
        (("pull", "file:///nowhere/x.gguf"), 3, "Error: "),
    ],
)
def test_what_goes_wrong_has_its_exit_code(served: dict[str, str], args: tuple[str, ...], code: int, word: str):
    """Each kind of error has its exit code, its sentence on standard error and no data."""
    result = _localai(served, *args)
    assert (result.returncode, result.stdout) == (code, "")
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_finds_the_server(served: dict[str, str]):
    """`doctor` sees the running server and its version."""
    found = json.loads(_localai(served, "doctor", "--json").stdout)
    assert {"name": "server", "state": "ok"}.items() <= found["checks"][-1].items()


def test_an_interrupt_frees_the_model(served: dict[str, str], echo_gateway: Gateway):
    """Ctrl-C in the middle of an answer is exit code 130, and the model is free again."""
    command = [LOCALAI, "run", "slow", " ".join(["word"] * 5000)]
    with subprocess.Popen(command, env=served, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"word"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    _until(lambda: all(row["busy"] == 0 for row in echo_gateway.loaded()), "the model is still busy")


def test_without_a_server_a_command_brings_its_own(alone: dict[str, str]):
    """With no server running, `list`, `run`, `keys` and `rm` work all the same, and leave no log on the terminal."""
    assert [row["name"] for row in json.loads(_localai(alone, "list", "--json").stdout)] == ["echo"]
    result = _localai(alone, "run", "parrot", "one two three")
    assert (result.returncode, result.stdout, result.stderr) == (0, "one two three\n", "")
    assert _localai(alone, "keys", "create", "x").stdout.startswith("sk-")
    assert _localai(alone, "rm", "-y", "echo").returncode == 0
    assert _localai(alone, "list").stdout == ""


def test_without_a_server_there_is_no_status(alone: dict[str, str]):
    """`ps`, `load`, `stop` and `status` need a server that runs: exit code 5."""
    for args in (("ps",), ("load", "echo"), ("stop", "echo"), ("status",)):
        assert _localai(alone, *args).returncode == 5


def test_an_interrupt_ends_the_embedded_server(alone: dict[str, str]):
    """Ctrl-C in a command that brought its own server ends both: exit code 130, no traceback."""
    write_echo(Path(alone["LOCALAI_HOME"]), "slow", options={"delay": 0.02}, context=100000)
    command = [LOCALAI, "run", "slow", " ".join(["word"] * 5000)]
    with subprocess.Popen(
        command, env=alone, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"word"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(self, environment: dict[str, str], *args: str) -> None:
        self._mine, theirs = pty.openpty()
        environment = environment | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            [LOCALAI, *args], env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> str:
        """Read until the text is shown; gives what was shown before it."""
        while text not in self.shown:
            self.shown += os.read(self._mine, 4096).decode().replace("\r\n", "\n")
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(environment: dict[str, str], *args: str) -> Terminal:
        opened.append(Terminal(environment, *args))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_a_conversation_on_a_terminal(served: dict[str, str], terminal: Callable[..., Terminal]):
    """On a terminal `run MODEL` is a conversation that answers, takes commands and leaves with /bye."""
    screen = terminal(served, "run", "echo")
    screen.until("Talking with echo")
    screen.until(">>> ")
    screen.type("one two\n")
    assert "\none two\n" in screen.until(">>> ")
    screen.type('"""three\n')
    screen.until("... ")
    screen.type('four"""\n')
    assert "\nthree\nfour\n" in screen.until(">>> ")
    screen.type("/show\n")
    assert "messages     4" in screen.until(">>> ")
    screen.type("/bye\n")
    assert screen.process.wait(30) == 0


def test_ctrl_c_in_a_conversation(served: dict[str, str], terminal: Callable[..., Terminal]):
    """Ctrl-C stops the answer and the conversation goes on; a second one leaves with exit code 130."""
    screen = terminal(served, "run", "slow")
    screen.until(">>> ")
    screen.type(" ".join(["word"] * 500) + "\n")
    screen.until("\nword word")
    os.kill(screen.process.pid, signal.SIGINT)
    screen.until("(Stopped.")
    screen.until(">>> ")
    os.kill(screen.process.pid, signal.SIGINT)
    assert screen.process.wait(30) == 130


def test_rm_asks_on_a_terminal(alone: dict[str, str], terminal: Callable[..., Terminal]):
    """On a terminal `rm` asks first, and Enter alone means no."""
    screen = terminal(alone, "rm", "echo")
    screen.until("Remove echo? [y/N]: ")
    screen.type("\n")
    assert screen.process.wait(30) == 1
    assert [row["name"] for row in json.loads(_localai(alone, "list", "--json").stdout)] == ["echo"]


@pytest.mark.real
@pytest.mark.slow
def test_zero_configuration(tmp_path: Path):
    """On a machine with nothing but the program, `localai run "..."` installs the starter and answers."""
    environment = _environment(home=str(tmp_path / "home"), port=str(_unused()))
    result = _localai(environment, "run", "Why is the sky blue?", "--max-tokens", "24", "--seed", "1")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) > 5
    assert "smollm2-135m is installed" in result.stderr
    rows: list[dict[str, Any]] = json.loads(_localai(environment, "list", "--json").stdout)
    assert [(row["name"], row["licence"]) for row in rows] == [("smollm2-135m", "Apache-2.0")]
