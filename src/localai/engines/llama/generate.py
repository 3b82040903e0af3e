"""Generations: which way each prompt takes through llama.cpp, and what holds its answer."""

import json
import threading
from typing import Any, assert_never

import msgspec

from localai.core.errors import InvalidRequest
from localai.core.model import Model, Sizing
from localai.core.task import AnyJson, Chat, FreeText, Generate, Grammar, Ids, Infill, Raw, Schema, TextPart
from localai.engines.base import Emit
from localai.engines.llama import messages, request
from localai.engines.llama.answer import Answer
from localai.engines.llama.arguments import Offered, validator
from localai.engines.llama.calls import Caught, Forced
from localai.engines.llama.constraint import Constraints
from localai.engines.llama.infill import Gaps
from localai.engines.llama.problems import complaint
from localai.engines.llama.side import Side

Body = dict[str, Any]

_NO_LOOPS: Body = {
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 12,
    "dry_penalty_last_n": 72,
}
"""Held to a grammar, a small model that loops cannot end its string. More than a dozen tokens that came in the same
order just before become unlikely; quotes, colons and line ends begin anew, so that JSON itself is untouched. A
`dry_multiplier` of the request or the model file (0 turns it off) stands before this.
"""


class Generator:
    """Everything that is needed to generate with one loaded model."""

    def __init__(
        self, server: Any, side: Side, model: Model, sizing: Sizing, template: messages.Template, vocabulary: int
    ) -> None:
        self._server = server
        self._side = side
        self._model = model
        self._sizing = sizing
        self._template = template
        self._vocabulary = vocabulary
        self._constraints = Constraints()
        self._gaps = Gaps(side)

    def run(self, task: Generate, emit: Emit, stop: threading.Event) -> None:
        """Answer one generation."""
        body = request.body(task, self._model, context=self._sizing.context, vocabulary=self._vocabulary)
        grammar = self._grammar(task)
        if grammar is not None:
            body["grammar"] = grammar
            if not isinstance(task.format, Grammar) and "dry_multiplier" not in body:
                body |= _NO_LOOPS
        silent = body["n_predict"] == 0
        answer = Answer(emit, stop, check=self._check(task), logprobs=task.logprobs, silent=silent)
        prompt = task.prompt
        match prompt:
            case Chat():
                self._chat(task, prompt, body, answer)
            case Raw(text=text):
                self._complete(task, {**body, "prompt": text}, answer)
            case Ids(ids=ids):
                if not ids:
                    raise InvalidRequest("The prompt is empty.", param="prompt")
                self._complete(task, {**body, "prompt": list(ids)}, answer)
            case Infill():
                self._complete(task, {**body, "prompt": self._gaps.prompt(prompt)}, answer)
            case _:
                assert_never(prompt)
        answer.finish()

    def render(self, chat: Chat) -> str:
        """Write a conversation out as a generation of free text would write it, tools included."""
        native = self._native(chat)
        offered = bool(chat.tools)
        written = self._conversation(chat, native=native, held=offered and chat.tool_choice.mode == "required")
        if native and offered and chat.tool_choice.mode == "auto":
            written |= _native_choice(chat)
        return str(self._side.post("/apply-template", written)["prompt"])

    def can_infill(self) -> bool:
        """Whether the model has the tokens for filling in the middle."""
        return bool(self._gaps)

    def _grammar(self, task: Generate) -> str | None:
        """What the answer is held to: the format, or calls of the tools (see `_chat`).

        Raises:
            UnsupportedSchema: It cannot be enforced.
        """
        chat = task.prompt
        if not isinstance(chat, Chat) or not _holds_calls(task, chat):
            return self._constraints.format(task.format, self._tokens(task))
        if isinstance(task.format, Grammar) and chat.tool_choice.mode != "required":
            raise InvalidRequest("A grammar and tools cannot be combined; set tool_choice to none or required.")
        return self._constraints.calls(chat, task.format, self._tokens(task))

    def _chat(self, task: Generate, chat: Chat, body: Body, answer: Answer) -> None:
        """A conversation takes one of four ways.

        1. No tools, or none may be called: the template writes the prompt, the format holds the answer.
        2. A call is required, or a format stands beside the tools: our grammar holds the answer to calls (or the
           format). A template that knows tools still shows them in its own words.
        3. The template knows tools: llama.cpp parses the calls; we judge them.
        4. It does not: the tools are told in the system message and calls are caught in the text.
        """
        required = chat.tool_choice.mode == "required"
        native = self._native(chat)
        conversation = self._conversation(chat, native=native, held="grammar" in body)
        talk = {**body, **conversation}
        if not chat.tools or chat.tool_choice.mode == "none":
            self._talk(task, talk, answer)
        elif _holds_calls(task, chat):
            names = [tool.name for tool in chat.tools]
            answer.use(lambda out: Forced(out, names, text=not required))
            if native:
                # llama.cpp takes no grammar beside tools: the prompt is written first and then completed.
                prompt = self._side.post("/apply-template", conversation)["prompt"]
                self._complete(task, {**body, "prompt": prompt}, answer)
            else:
                self._talk(task, talk, answer)
        elif native:
            answer.judge(Offered(chat.tools))
            self._talk(task, {**talk, **_native_choice(chat)}, answer)
        else:
            offered = Offered(chat.tools)
            answer.use(lambda out: Caught(out, offered))
            self._talk(task, talk, answer)

    def _talk(self, task: Generate, body: Body, answer: Answer) -> None:
        if "grammar" in body:
            # What the grammar holds is the answer itself: no part of it may be taken for a thought.
            body["reasoning_format"] = "none"
        if task.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": max(task.logprobs, 1)}
        self._serve(self._server.handle_chat_completions, body, answer)

    def _complete(self, task: Generate, body: Body, answer: Answer) -> None:
        if task.logprobs is not None:
            body["n_probs"] = max(task.logprobs, 1)
        self._serve(self._server.handle_completions, body, answer)

    def _serve(self, handle: Any, body: Body, answer: Answer) -> None:
        try:
            handle(msgspec.json.encode(body), answer.feed)
        except (RuntimeError, ValueError) as error:
            # The text is compared with what is known of llama.cpp and goes no further.
            raise complaint(str(error)) from None

    def _native(self, chat: Chat) -> bool:
        """Whether the template shows the tools; pictures and sound need the way that we write ourselves."""
        forced = chat.tool_choice.mode == "required"
        text = all(isinstance(part, TextPart) for message in chat.messages for part in message.content)
        return self._template.tools and (text or not forced)

    def _conversation(self, chat: Chat, *, native: bool, held: bool) -> Body:
        forced = chat.tool_choice.mode == "required"
        turns = messages.messages(chat, self._template, system=self._model.system, native=native, forced=forced)
        written: Body = {"messages": turns}
        if native and chat.tools and chat.tool_choice.mode != "none":
            written["tools"] = messages.tools(chat.tools)
        if chat.continue_last and chat.messages[-1].role == "assistant":
            written |= {"add_generation_prompt": False, "continue_final_message": True}
        given: Body = {}
        if chat.thinking is not None or held:
            # A held answer begins at once: the grammar leaves no room for thoughts.
            given["enable_thinking"] = bool(chat.thinking) and not held
        if chat.effort is not None:
            given["reasoning_effort"] = chat.effort
        return written | ({"chat_template_kwargs": given} if given else {})

    def _tokens(self, task: Generate) -> int:
        limit = request.limit(task, self._model)
        return self._sizing.context if limit < 0 else min(limit, self._sizing.context)

    def _check(self, task: Generate) -> Any:
        match task.format:
            case AnyJson():
                return validator({"type": "object"})
            case Schema(schema=schema):
                # Encoded and decoded once, so that the validator sees plain JSON and nothing else.
                return validator(json.loads(json.dumps(schema)))
            case FreeText() | Grammar():
                return None
            case _:
                assert_never(task.format)


def _native_choice(chat: Chat) -> Body:
    """What a template that knows tools is told about their use."""
    return {"tool_choice": "auto", "parallel_tool_calls": chat.parallel_calls}


def _holds_calls(task: Generate, chat: Chat) -> bool:
    """Whether the answer has to be (or may only be) calls in our own form."""
    mode = chat.tool_choice.mode
    if mode == "required" and not chat.tools:
        raise InvalidRequest("tool_choice requires a call, but there are no tools.", param="tool_choice")
    return bool(chat.tools) and mode != "none" and (mode == "required" or not isinstance(task.format, FreeText))
