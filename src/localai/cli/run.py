"""`localai run`: one question, or a conversation."""

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import quote

import typer

from localai.cli.answer import Answer
from localai.cli.client import Client
from localai.cli.completion import names
from localai.cli.errors import Missing, Misused
from localai.cli.loaded import lifetime
from localai.cli.pull import STARTER, STARTER_NAME, install
from localai.cli.question import Options, chat_body, piped, raw_body, response_format
from localai.cli.terminal import agreed, interactive, note

_REFERENCE = re.compile(r"[a-z][a-z0-9+]*:[^\s]+")
"""What `pull` takes: a scheme, a colon and no blanks."""


def run(
    client: Client,
    model: Annotated[
        str | None, typer.Argument(help="Name or alias of a model, or the prompt.", autocompletion=names)
    ] = None,
    prompt: Annotated[list[str] | None, typer.Argument(help="What to ask.")] = None,
    *,
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, help="0 always takes the likeliest.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed gives the same answer.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="json|FILE", help="JSON, or JSON of the schema in a file.")
    ] = None,
    think: Annotated[bool | None, typer.Option("--think/--no-think", help="Let a reasoning model think.")] = None,
    keep_alive: Annotated[
        str | None, typer.Option("--keep-alive", metavar="TIME", help="How long the model stays loaded: 10m, `always`.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Give the prompt to the model without a chat template.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Write tokens and seconds to standard error.")] = False,
) -> None:
    """Ask a model something, or talk with it.

    Without a prompt on a terminal it is a conversation. Without a model the starter answers; it is installed when
    missing. What is piped in follows the prompt.

    Examples: `localai run "Why is the sky blue?"` · `localai run smollm2-135m` · `localai run "Summarise:" < notes.txt`
    """
    options = Options(
        system=system,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        format=response_format(format_),
        think=think,
        keep_alive=None if keep_alive is None else lifetime(keep_alive),
        verbose=verbose,
    )
    more = piped()
    chosen, asked = choose(client, [word for word in (model, *(prompt or ())) if word is not None])
    text = "\n\n".join(part for part in (asked, more) if part)
    if text:
        once(client, chosen, text, options, raw=raw)
        return
    if not (interactive() and sys.stdout.isatty()):
        raise Misused(
            "There is no prompt.", why="none was given, and standard input is empty.", fix='`localai run "Hi!"`'
        )
    from localai.cli.chat import Chat

    Chat(client, chosen, options).loop()


def once(client: Client, model: str, text: str, options: Options, *, raw: bool = False) -> None:
    """Ask one question and write the answer."""
    answer = Answer()
    if raw:
        answer.ask(client, "/v1/completions", raw_body(model, text, options))
    else:
        messages = [{"role": "user", "content": text}]
        answer.ask(client, "/v1/chat/completions", chat_body(model, messages, options))
    if options.verbose:
        note(answer.figures())


def choose(client: Client, words: Sequence[str]) -> tuple[str, str]:
    """The model and the prompt that the words mean; installs the model when it is missing.

    1. No word: the starter, no prompt.
    2. The first word is installed: that model, and the rest is the prompt.
    3. The first word can be pulled (the starter or a reference): pull it, and the rest is the prompt.
    4. One word that resembles no installed name, or a sentence: the starter, and it is the prompt.

    Raises:
        Missing: The first word means no model, and it is not a prompt.
    """
    if not words:
        return _starter(client), ""
    first, rest = words[0], " ".join(words[1:])
    if _installed(client, first):
        return first, rest
    if first in (STARTER, STARTER_NAME):
        return _starter(client), rest
    if _REFERENCE.fullmatch(first):
        return _pulled(client, first), rest
    alike = _alike(client, first)
    if rest or alike:
        raise _unknown(first, rest, alike)
    return _starter(client), first


def _starter(client: Client) -> str:
    """The name of the starter, installed when it is missing."""
    return STARTER_NAME if _installed(client, STARTER_NAME) else install(client, STARTER)


def _pulled(client: Client, reference: str) -> str:
    if not interactive():
        raise Missing(f"{reference} is not installed.", fix=f"`localai pull {reference}`")
    if not agreed(f"{reference} is not installed. Pull it?"):
        raise typer.Exit(1)
    return install(client, reference)


def _installed(client: Client, name: str) -> bool:
    """Whether the name or alias is one of the server's models; asked with the rights of one who uses models."""
    if not name or len(name) > 256 or any(letter.isspace() for letter in name):
        return False
    try:
        client.get(f"/v1/models/{quote(name, safe='')}")
    except Missing:
        return False
    return True


def _alike(client: Client, word: str) -> list[str]:
    if any(letter.isspace() for letter in word):
        return []
    rows: list[dict[str, Any]] = client.get("/v1/models")["data"]
    return get_close_matches(word, [str(row["id"]) for row in rows], cutoff=0.75)


def _unknown(word: str, rest: str, alike: list[str]) -> Missing:
    if alike:
        names = " or ".join(f"`{name}`" for name in alike)
        return Missing(f"There is no model `{word}`. Did you mean {names}?", fix=f"`localai run {alike[0]}`")
    return Missing(
        f"There is no model `{word}`.",
        why="with several words the first names the model.",
        fix=f'`localai list` for the models, or quotes around a prompt: `localai run "{word} {rest}"`',
    )
