"""The conversation of `localai run MODEL` on a terminal."""

from collections.abc import Callable
from dataclasses import replace

from localai.cli.answer import Answer
from localai.cli.client import Client
from localai.cli.errors import Failure, Misused
from localai.cli.question import Message, Options, chat_body, response_format
from localai.cli.terminal import note

HELP = '''/bye                     leave (also Ctrl-D, or Ctrl-C twice)
/clear                   forget the conversation
/show                    the model, the settings and the length of the conversation
/set system TEXT         another system message; without TEXT none
/set temperature NUMBER  also: max_tokens, seed
/set think on|off        also: verbose
/set format json|text    also a file with a JSON schema
"""                      begins and ends a text of several lines
Ctrl-C                   stops the answer'''


class Chat:
    """Reads what a person types and answers it, until they leave."""

    def __init__(self, client: Client, model: str, options: Options, read: Callable[[str], str] | None = None) -> None:
        """Build a conversation; `read` shows a prompt and returns a line, or raises EOFError at the end."""
        self._client = client
        self._model = model
        self._options = options
        self._read = read or _line_editor()
        self._history: list[Message] = []

    def loop(self) -> None:
        """Talk until /bye or the end of input. Ctrl-C stops an answer; the second in a row raises KeyboardInterrupt."""
        note(f"Talking with {self._model}. /help shows what you can type, /bye leaves.")
        stopped = False
        while True:
            try:
                text = self._entry()
                if text in ("/bye", "/exit", "/quit"):
                    return
                self._take(text)
                stopped = False
            except EOFError:
                note("")
                return
            except KeyboardInterrupt:
                if stopped:
                    raise
                stopped = True
                note("\n(Stopped. Ctrl-C again or /bye leaves.)")
            except Failure as failure:
                failure.show()

    def _entry(self) -> str:
        """One line, or several between triple quotes."""
        text = self._read(">>> ").strip()
        if not text.startswith('"""'):
            return text
        text = text.removeprefix('"""')
        while not text.rstrip().endswith('"""'):
            text += "\n" + self._read("... ")
        return text.rstrip().removesuffix('"""').strip("\n")

    def _take(self, text: str) -> None:
        command, _, rest = text.partition(" ")
        match command:
            case "":
                pass
            case "/clear":
                self._history = []
                note("(Forgotten.)")
            case "/show":
                note(self._shown())
            case "/set":
                self._options = changed(self._options, rest)
            case "/help" | "/?":
                note(HELP)
            case _ if command.startswith("/"):
                note(f"There is no {command}. /help shows what there is.")
            case _:
                self._answer(text)

    def _answer(self, text: str) -> None:
        """Ask, and keep the turn: also half an answer that was stopped, but no question that failed."""
        question = {"role": "user", "content": text}
        answer = Answer()
        try:
            answer.ask(
                self._client,
                "/v1/chat/completions",
                chat_body(self._model, [*self._history, question], self._options),
            )
        finally:
            if answer.text:
                self._history += [question, {"role": "assistant", "content": answer.text}]
        if self._options.verbose:
            note(answer.figures())

    def _shown(self) -> str:
        options = self._options
        settings = {
            "system": options.system,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "seed": options.seed,
            "think": options.think,
            "format": options.format and options.format["type"],
        }
        lines = [f"{name:<12} {value}" for name, value in settings.items() if value is not None]
        return "\n".join([f"{'model':<12} {self._model}", *lines, f"{'messages':<12} {len(self._history)}"])


def changed(options: Options, text: str) -> Options:
    """The options after `/set NAME VALUE`.

    Raises:
        Misused: There is no such setting, or the value does not fit it.
    """
    name, _, value = text.strip().partition(" ")
    value = value.strip()
    try:
        match name:
            case "system":
                return replace(options, system=value or None)
            case "temperature":
                return replace(options, temperature=float(value))
            case "max_tokens":
                return replace(options, max_tokens=int(value))
            case "seed":
                return replace(options, seed=int(value))
            case "think":
                return replace(options, think=_switch(value))
            case "verbose":
                return replace(options, verbose=_switch(value))
            case "format":
                return replace(options, format=None if value == "text" else response_format(value))
            case _:
                raise Misused(f"There is no setting `{name}`.", fix="/help")
    except (ValueError, KeyError):
        raise Misused(f"`{value}` does not fit `{name}`.", fix="/help") from None


def _switch(value: str) -> bool:
    return {"on": True, "off": False}[value]


def _line_editor() -> Callable[[str], str]:
    """The built-in reader of lines, with editing and recall where Python has them."""
    try:
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport] - importing it turns line editing on
    except ImportError:
        note("(This Python edits no lines: it has no readline.)")
    return input
