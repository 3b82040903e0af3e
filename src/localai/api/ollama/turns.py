"""`context`: the token ids of a conversation so far, which /api/generate gives and takes back.

They are real ids of the model's own vocabulary: of the prompt as the template wrote it and of the answer's text (a
model's thoughts are not in them). What comes back is put in front of the next prompt, token by token.
"""

from localai.api.ollama.chat import Asked
from localai.api.ollama.pieces import Json
from localai.core.caller import Caller
from localai.core.event import Event, Text, Tokens
from localai.core.task import Chat, Ids, Prompt, Raw, Render, Task, Tokenize
from localai.service.perform import Perform


class Turns:
    """The conversation of one generation by a model that `caller` may use."""

    def __init__(
        self,
        perform: Perform,
        caller: Caller,
        model: str,
        asked: Asked,
        prompt: Chat | Raw,
        before: tuple[int, ...],
    ) -> None:
        """Begin.

        Args:
            perform: Writes prompts out and knows the model's tokens.
            caller: Who asks.
            model: The model, by any name.
            asked: The request: how long the model stays and how much room it has is the same for all its parts.
            prompt: What is asked now.
            before: The ids of what was said before.
        """
        self._perform = perform
        self._caller = caller
        self._model = model
        self._asked = asked
        self._given = prompt
        self._before = before
        self._written: str | None = None

    async def prompt(self) -> Prompt:
        """What to generate from: with something before it, the prompt as token ids."""
        if not self._before:
            return self._given
        return Ids(ids=(*self._before, *await self._ids(await self._text())))

    async def ending(self, answer: str) -> Json:
        """The `context` after the answer."""
        ids = await self._ids(await self._text() + answer, begins=not self._before)
        return {"context": [*self._before, *ids]}

    async def _text(self) -> str:
        """The prompt as the template writes it."""
        if self._written is None:
            match self._given:
                case Raw(text=text):
                    self._written = text
                case Chat():
                    events = await self._whole(Render(chat=self._given))
                    self._written = "".join(event.text for event in events if isinstance(event, Text))
        return self._written or ""

    async def _ids(self, text: str, *, begins: bool = False) -> tuple[int, ...]:
        """The token ids of a text; where one `begins`, what the model puts before every text is there, once."""
        start, found = await self._tokens(""), await self._tokens(text)
        own = found[len(start) :] if found[: len(start)] == start else found
        if not begins:
            return own
        return own if start and own[: len(start)] == start else (*start, *own)

    async def _tokens(self, text: str) -> tuple[int, ...]:
        events = await self._whole(Tokenize(text=text))
        return next((event.ids for event in events if isinstance(event, Tokens)), ())

    async def _whole(self, task: Task) -> list[Event]:
        """The events of a part of the request; one that lets go of the model at its end does so after its answer."""
        stay = self._asked.keep_alive or None
        stream = self._perform.stream(self._caller, self._model, task, keep_alive=stay, context=self._asked.room)
        return [event async for batch in stream for event in batch]
