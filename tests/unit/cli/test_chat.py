"""The conversation on a terminal."""

from collections.abc import Callable, Iterator

import pytest

from localai.cli.chat import HELP, Chat, changed
from localai.cli.client import Client
from localai.cli.errors import Misused
from localai.cli.question import Options
from serverdouble import Canned, ServerDouble, said

CHAT = "/v1/chat/completions"


def typed(*lines: str | type[BaseException]) -> Callable[[str], str]:
    """A person who types these lines; an exception stands for the key that raises it."""
    entries: Iterator[str | type[BaseException]] = iter((*lines, EOFError))

    def read(prompt: str) -> str:
        line = next(entries)
        if isinstance(line, str):
            return line
        raise line

    return read


@pytest.fixture
def talk(server: ServerDouble):
    server.on("POST", CHAT, Canned(pieces=said("Yes", ".")))

    def start(*lines: str | type[BaseException], options: Options | None = None) -> ServerDouble:
        Chat(Client(server.url), "echo", options or Options(), typed(*lines)).loop()
        return server

    return start


def test_a_conversation_remembers(talk, capsys):
    """Each question is asked with the questions and answers before it."""
    server = talk("One?", "Two?")
    assert [body["messages"] for body in server.bodies(CHAT)] == [
        [{"role": "user", "content": "One?"}],
        [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Two?"},
        ],
    ]
    assert capsys.readouterr().out == "Yes.\nYes.\n"


def test_clear_forgets(talk):
    """After /clear the next question stands alone."""
    server = talk("One?", "/clear", "Two?")
    assert len(server.bodies(CHAT)[1]["messages"]) == 1


@pytest.mark.parametrize("word", ["/bye", "/exit", "/quit"])
def test_bye_leaves(talk, word: str):
    """After /bye nothing more is read."""
    assert talk(word, "One?").bodies(CHAT) == []


def test_several_lines(talk):
    """Triple quotes begin and end a text of several lines, also on one line."""
    server = talk('"""One', "two", 'three"""', '"""four"""')
    questions = [body["messages"][-1]["content"] for body in server.bodies(CHAT)]
    assert questions == ["One\ntwo\nthree", "four"]


def test_set_changes_the_next_request(talk):
    """/set changes how the next question is asked."""
    server = talk("/set system Be brief.", "/set temperature 0.5", "/set seed 3", "/set think off", "Hi")
    (body,) = server.bodies(CHAT)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["seed"]) == (0.5, 3)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_show_help_and_nonsense(talk, capsys):
    """/show tells the settings, /help the commands, and a command that is none is not asked of the model."""
    server = talk("Hi", "/show", "/help", "/nonsense", "", options=Options(temperature=0.5))
    err = capsys.readouterr().err
    assert "model        echo\ntemperature  0.5\nmessages     2" in err
    assert HELP in err
    assert "There is no /nonsense." in err
    assert len(server.bodies(CHAT)) == 1


def test_verbose_figures(talk, capsys):
    """With verbose on, each answer is followed by its figures."""
    talk("/set verbose on", "Hi")
    assert "tokens/s" in capsys.readouterr().err or "too short" in capsys.readouterr().err


def test_an_interrupt_then_a_line_goes_on(talk):
    """One Ctrl-C does not leave: the next line is answered."""
    assert len(talk(KeyboardInterrupt, "Hi", KeyboardInterrupt, "Hi").bodies(CHAT)) == 2


def test_two_interrupts_leave(talk):
    """Ctrl-C twice in a row leaves."""
    with pytest.raises(KeyboardInterrupt):
        talk(KeyboardInterrupt, KeyboardInterrupt, "Hi")


def test_a_stopped_answer_is_remembered_as_far_as_it_went(server: ServerDouble, monkeypatch):
    """Ctrl-C during an answer hangs up, keeps the half answer in the conversation, and goes on."""
    server.on("POST", CHAT, Canned(pieces=said("Half", " more")[:2], hold=True))
    from localai.cli import answer

    def interrupted(text: str) -> int:
        server.on("POST", CHAT, Canned(pieces=said("Yes.")))
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(answer.sys.stdout, "write", interrupted)
    Chat(Client(server.url), "echo", Options(), typed("One?", "Two?")).loop()
    assert server.left.wait(10)
    assert [message["content"] for message in server.bodies(CHAT)[1]["messages"]] == ["One?", "Half", "Two?"]


def test_a_failed_question_is_forgotten(server: ServerDouble, capsys):
    """An error is shown, the conversation goes on, and the question that failed is not asked again."""
    problem = {"error": {"message": "Too long.", "code": "context_length_exceeded"}}
    server.on("POST", CHAT, Canned(problem, status=400))
    Chat(Client(server.url), "echo", Options(), typed("One?", "Two?")).loop()
    assert [len(body["messages"]) for body in server.bodies(CHAT)] == [1, 1]
    assert capsys.readouterr().err.count("Error: Too long.") == 2


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("system", Options()),
        ("max_tokens 5", Options(system="x", max_tokens=5)),
        ("format json", Options(system="x", format={"type": "json_object"})),
        ("format text", Options(system="x")),
    ],
)
def test_settings_can_be_changed_and_taken_back(text: str, options: Options):
    """/set puts one setting to a value, or back to nothing."""
    assert changed(Options(system="x"), text) == options


@pytest.mark.parametrize(
    "text", ["", "colour red", "temperature warm", "seed 1.5", "think maybe", "format nothing.json"]
)
def test_a_wrong_setting_changes_nothing(text: str):
    """What is no setting, or no value for it, is an error that points to /help or the option."""
    with pytest.raises(Misused):
        changed(Options(), text)
