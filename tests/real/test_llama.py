"""llama.cpp in process, on real weights."""

import json
import math
import struct
import sys
import threading

import pytest

from llamas import GREEDY, Llama, calls, chat, text
from localai import wire
from localai.core.errors import (
    ContextLengthExceeded,
    InvalidModel,
    InvalidRequest,
    ModelLoadFailed,
    TaskNotSupported,
    UnsupportedSchema,
)
from localai.core.event import Done, Logprobs, Progress, Score, Text, Tokens, Vector
from localai.core.model import Adapter, Model, Sizing
from localai.core.task import (
    AnyJson,
    Call,
    Chat,
    Detokenize,
    Embed,
    Generate,
    Grammar,
    Ids,
    ImagePart,
    Infill,
    Message,
    Raw,
    Render,
    Rerank,
    Sampling,
    TextPart,
    Tokenize,
    Tool,
    ToolChoice,
)
from weights import minilm, smollm2
from workers import Worker

pytestmark = pytest.mark.real

SIZING = Sizing(context=2048, slots=2, threads=1)


def smol(**fields) -> Model:
    return Model(name="smollm2", engine="llama", files={"model": str(smollm2())}, tasks=("chat",), **fields)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    made = Llama(tmp_path_factory.mktemp("run"), smol(), SIZING)
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    model = Model(name="minilm", engine="llama", files={"model": str(minilm())})
    made = Llama(tmp_path_factory.mktemp("run"), model, SIZING)
    yield made
    made.engine.close()


def raw(words: str, **fields) -> Generate:
    return Generate(prompt=Raw(text=words), **{"sampling": GREEDY, **fields})


def test_it_answers_a_question(llama):
    """A chat is answered sensibly, with progress before, timings and usage after."""
    assert "Paris" in llama.say(raw("The capital of France is", max_tokens=8))[0]
    events = llama.ask(chat("Hello! Who are you?", max_tokens=20))
    assert isinstance(events[0], Progress) and events[0].total > 10
    assert sum(isinstance(event, Text) for event in events) > 3
    done = events[-1]
    assert done.usage.prompt > 10 and done.usage.completion > 3 and done.timings.generate > 0
    assert {"chat", "complete", "tokenize"} <= set(llama.loaded.tasks) and not llama.loaded.tools


def test_a_beginning_is_read_once(llama):
    """A second question with the same beginning takes it from the cache, unless the request forbids it."""
    words = "The quick brown fox jumps over the lazy dog. " * 10
    llama.ask(raw(words, max_tokens=1))
    again = llama.ask(raw(words, max_tokens=1))[-1].usage
    fresh = llama.ask(raw(words, max_tokens=1, cache=False))[-1].usage
    assert again.cached > 50 and fresh.cached == 0


def test_stop_strings_end_the_text_and_are_named(llama):
    """The text ends before a stop string, which Done names; max_tokens ends with "length"."""
    said, done = llama.say(raw("1, 2, 3, 4, 5,", max_tokens=40, stop=("9", "\n")))
    assert done.finish == "stop" and done.stop == "9" and "9" not in said and "8" in said
    _, done = llama.say(raw("1, 2, 3, 4, 5,", max_tokens=4))
    assert (done.finish, done.stop, done.usage.completion) == ("length", None, 4)


def test_no_token_is_asked_for(llama):
    """max_tokens 0 reads the prompt and says nothing."""
    said, done = llama.say(raw("Hello", max_tokens=0))
    assert (said, done.finish, done.usage.completion) == ("", "length", 0)


def test_seeds_are_reproducible(llama):
    """The same seed gives the same text, another seed another."""
    hot = [llama.say(raw("Once upon a time", max_tokens=30, cache=False, sampling=Sampling(temperature=1.5, seed=seed)))
           for seed in (1, 1, 2)]  # fmt: skip
    assert hot[0][0] == hot[1][0] != hot[2][0]


def test_logprobs(llama):
    """Each token carries its log-probability and the asked number of alternatives, in chats and completions."""
    for asked in (raw("The capital of France is", logprobs=3, max_tokens=5), chat("Hi!", logprobs=3, max_tokens=5)):
        events = llama.ask(asked)
        chosen = [token for event in events if isinstance(event, Logprobs) for token in event.tokens]
        assert len(chosen) == events[-1].usage.completion
        for one in chosen:
            assert -9999 <= one.token.logprob <= 0 and len(one.top) == 3
            assert one.token.data.decode(errors="replace") == one.token.token
            assert one.top[0].logprob == max(other.logprob for other in one.top)
    events = llama.ask(raw("The capital", logprobs=0, max_tokens=2))
    assert all(not token.top for event in events if isinstance(event, Logprobs) for token in event.tokens)


def test_sampling_fields_reach_the_engine(llama):
    """A bias forces a token, samplers can be ordered, and what cannot be is refused by name."""
    (token,) = llama.ask(Tokenize(text="banana", special=False))[0].ids[:1]
    said, _ = llama.say(raw("I like", max_tokens=3, sampling=Sampling(logit_bias=((token, 100.0),), temperature=0.0)))
    (piece,) = llama.ask(Detokenize(ids=(token,)))[:1]
    assert said == piece.text * 3
    every = Sampling(
        temperature=0.7, top_k=20, top_p=0.9, min_p=0.1, typical_p=0.9, top_n_sigma=2, xtc_probability=0.1,
        xtc_threshold=0.2, dynatemp_range=0.1, dynatemp_exponent=1, repeat_penalty=1.1, repeat_last_n=-1,
        presence_penalty=0.1, frequency_penalty=0.1, dry_multiplier=0.5, dry_base=1.5, dry_allowed_length=3,
        dry_penalty_last_n=-1, dry_sequence_breakers=("\n",), mirostat=0, mirostat_tau=4, mirostat_eta=0.2,
        adaptive_target=-1, adaptive_decay=0.5, min_keep=1, samplers=("penalties", "top_k", "typical_p", "temp"),
        seed=-5, ignore_eos=True, logit_bias=((5, -100),),
    )  # fmt: skip
    assert llama.ask(raw("a", max_tokens=5, sampling=every))[-1].usage.completion == 5
    for wrong, name in (({"samplers": ("magic",)}, "samplers"), ({"logit_bias": ((10**7, 1.0),)}, "logit_bias")):
        with pytest.raises(InvalidRequest) as refused:
            llama.ask(raw("a", sampling=Sampling(**wrong)))
        assert refused.value.param == name


def test_prompts_as_token_ids(llama):
    """Token ids are taken as they are; ids outside the vocabulary and an empty list are refused."""
    ids = llama.ask(Tokenize(text="1, 2, 3, 4, 5,"))[0].ids
    assert llama.say(Generate(prompt=Ids(ids=ids), max_tokens=8, sampling=GREEDY))[0].startswith(" 6")
    for wrong in ((10**7,), (-1,), ()):
        with pytest.raises(InvalidRequest):
            llama.ask(Generate(prompt=Ids(ids=wrong)))


def test_what_does_not_fit_is_refused_before_it_begins(llama):
    """A prompt beyond the context is refused with both counts, and never cut."""
    for prompt in (Raw(text="word " * 3000), chat("word " * 3000).prompt):
        with pytest.raises(ContextLengthExceeded, match=r"30\d\d tokens.*2048"):
            llama.ask(Generate(prompt=prompt))


def test_an_answer_ends_with_the_context(tmp_path):
    """Without max_tokens an answer ends where the context does, with "length"."""
    small = Llama(tmp_path, smol(), Sizing(context=256, slots=1, threads=1))
    _, done = small.say(raw("Once", sampling=Sampling(temperature=0.0, ignore_eos=True)))
    small.engine.close()
    assert done.finish == "length" and done.usage.prompt + done.usage.completion in range(254, 258)


def test_cancel_within_a_batch_of_the_prompt(llama):
    """A request cancelled while its prompt is read ends at the next batch, and the slot is free at once."""
    stop = threading.Event()
    seen: list[float] = []

    def emit(event) -> None:
        if isinstance(event, Progress):
            seen.append(event.done)
            if event.done > 0:
                stop.set()

    llama.engine.run(raw("word " * 1900, max_tokens=50, cache=False), emit, stop)
    assert max(seen) <= 2 * SIZING.batch
    assert llama.ask(raw("a", max_tokens=1))[-1].finish == "length"


def test_cancel_while_waiting_for_a_slot(llama):
    """A request that waits for a slot leaves when it is cancelled."""
    running = threading.Event()
    stops = [threading.Event(), threading.Event(), threading.Event()]

    def busy(number: int) -> None:
        asked = raw("Once", sampling=Sampling(ignore_eos=True))
        llama.engine.run(asked, lambda event: running.set() if isinstance(event, Text) else None, stops[number])

    threads = [threading.Thread(target=busy, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    running.wait()
    stops[2].set()
    events: list = []
    llama.engine.run(raw("b"), events.append, stops[2])
    assert events == [Done()]
    for stop in stops:
        stop.set()
    for thread in threads:
        thread.join()


def test_characters_are_never_cut(llama):
    """Every text event holds whole characters, and together they are what the tokens say."""
    said, _ = llama.say(chat("Say this: 👩🏽‍🚀 äöü 漢字", max_tokens=60, sampling=Sampling(temperature=1.0, seed=5)))
    assert "\ufffd" not in said[:-1]


def test_tokens_there_and_back(llama):
    """Tokens carry their own bytes, also of half characters, and become the text again."""
    words = "Héllo 👩🏽‍🚀 <|im_end|>"
    tokens = llama.ask(Tokenize(text=words))[0]
    assert isinstance(tokens, Tokens) and b"".join(tokens.pieces).decode() == words
    assert text(llama.ask(Detokenize(ids=tokens.ids))) == words
    with pytest.raises(InvalidRequest):
        llama.ask(Detokenize(ids=(10**7,)))
    assert len(llama.ask(Tokenize(text="<|im_end|>", special=False))[0].ids) > 1


def test_the_template_writes_the_conversation(llama):
    """Render shows the prompt; a last assistant turn is closed, or continued when asked."""
    turns = chat("Hi", "The sky is").prompt
    closed = text(llama.ask(Render(chat=turns)))
    assert closed.endswith("The sky is<|im_end|>\n<|im_start|>assistant\n")
    open_ended = Chat(messages=turns.messages, continue_last=True)
    assert text(llama.ask(Render(chat=open_ended))).endswith("The sky is")
    with pytest.raises(InvalidRequest):
        llama.ask(Generate(prompt=Chat(messages=())))


def test_what_the_model_cannot_do_is_said(llama):
    """Filling gaps, pictures, embeddings and ranking are refused by a model that cannot do them."""
    picture = Message(role="user", content=(ImagePart(data=b"\x89PNG\r\n\x1a\n"),))
    for task in (
        Generate(prompt=Infill(prefix="a", suffix="b")),
        Generate(prompt=Chat(messages=(picture,))),
        Embed(inputs=("a",)),
        Rerank(query="a", documents=("b",)),
    ):
        with pytest.raises(TaskNotSupported):
            llama.ask(task)


def test_grammars(llama):
    """A user's grammar is followed, and a bad one is refused."""
    said, _ = llama.say(chat("Is water wet?", form=Grammar(grammar='root ::= "yes" | "no"')))
    assert said in {"yes", "no"}
    with pytest.raises(UnsupportedSchema):
        llama.ask(chat("Hi", form=Grammar(grammar="root ::= nothing")))
    assert isinstance(json.loads(llama.say(chat("Some JSON, please.", form=AnyJson()))[0]), dict)


def test_model_file_defaults(tmp_path):
    """System message, stop strings, sampling and max_tokens of the model file stand behind the request's own."""
    model = smol(system="You are a pirate.", stop=("7",), parameters=Sampling(temperature=0.0), max_tokens=12)
    made = Llama(tmp_path, model, Sizing(context=512, slots=1, threads=1))
    try:
        assert "pirate" in text(made.ask(Render(chat=chat("Hi").prompt)))
        assert made.say(raw("1, 2, 3, 4, 5,", sampling=Sampling()))[1].stop == "7"
        assert made.say(raw("Once", sampling=Sampling()))[1].usage.completion <= 12
    finally:
        made.engine.close()


def test_embeddings_mean_something(embedder):
    """Related words are nearer than unrelated ones; vectors have unit length and the native dimensions."""
    events = embedder.ask(Embed(inputs=("cat", "kitten", "stocks")))
    assert [event.index for event in events if isinstance(event, Vector)] == [0, 1, 2]
    vectors = [struct.unpack("<384f", event.data) for event in events if isinstance(event, Vector)]

    def cosine(one, other) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert all(math.isclose(cosine(vector, vector), 1, abs_tol=1e-3) for vector in vectors)
    assert cosine(vectors[0], vectors[1]) > 0.6
    assert cosine(vectors[0], vectors[2]) < 0.3
    assert embedder.loaded.dimensions == 384 and embedder.loaded.tasks == ("embed", "tokenize")
    assert events[-1].usage.prompt >= 9


def test_embedding_inputs(embedder):
    """Ids and text give the same vector; fewer dimensions are cut and normalised; the wrong are refused by index."""
    ids = embedder.ask(Tokenize(text="cat"))[0].ids
    one, two = (event.data for event in embedder.ask(Embed(inputs=("cat", ids))) if isinstance(event, Vector))
    assert max(abs(a - b) for a, b in zip(struct.unpack("<384f", one), struct.unpack("<384f", two), strict=True)) < 1e-3
    (short, _) = embedder.ask(Embed(inputs=("cat",), dimensions=16))
    assert math.isclose(sum(value**2 for value in struct.unpack("<16f", short.data)), 1, abs_tol=1e-3)
    with pytest.raises(InvalidRequest):
        embedder.ask(Embed(inputs=("cat",), dimensions=385))
    with pytest.raises(ContextLengthExceeded, match="Input 33 has") as refused:
        embedder.ask(Embed(inputs=("a",) * 33 + ("word " * 3000,)))
    assert refused.value.param == "input.33"
    for wrong in ((), ("a", ())):
        with pytest.raises(InvalidRequest):
            embedder.ask(Embed(inputs=wrong))
    with pytest.raises(TaskNotSupported):
        embedder.ask(chat("Hi"))


def test_ranking(tmp_path):
    """Each document gets its score, too long ones are refused (the weights are no reranker: scores mean nothing)."""
    model = Model(name="rank", engine="llama", files={"model": str(minilm())}, tasks=("rerank",))
    made = Llama(tmp_path, model, SIZING)
    try:
        assert made.loaded.tasks == ("rerank", "tokenize")
        events = made.ask(Rerank(query="cat", documents=tuple(f"document {number}" for number in range(20))))
        assert [event.index for event in events[:-1] if isinstance(event, Score)] == list(range(20))
        assert events[-1].usage.prompt > 40
        with pytest.raises(ContextLengthExceeded):
            made.ask(Rerank(query="cat", documents=("word " * 3000,)))
        with pytest.raises(InvalidRequest):
            made.ask(Rerank(query="cat", documents=()))
    finally:
        made.engine.close()


def test_bad_files_and_options_are_said(tmp_path):
    """A damaged file, a broken template and an unknown or impossible option are refused with a message."""
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 200)
    bad = Model(name="bad", engine="llama", files={"model": str(tmp_path / "bad.gguf")}, tasks=("chat",))
    cases = [
        (bad, InvalidModel),
        (smol(template="{% for %}"), InvalidModel),
        (smol(options={"nonsense": 1}), ModelLoadFailed),
        (smol(options={"cache_type_k": "q9"}), ModelLoadFailed),
        (smol(options={"cache_ram": -1}), ModelLoadFailed),
        (Model(name="none", engine="llama"), ModelLoadFailed),
    ]
    for model, error in cases:
        with pytest.raises(error):
            Llama(tmp_path, model, Sizing(context=256))


def test_it_works_in_the_jail(tmp_path):
    """The whole engine runs inside the jail, beats while it loads, and says nothing of prompts on standard error."""
    worker = Worker(tmp_path)
    try:
        ready = worker.load(smol(options={"cache_type_k": "q8_0"}), SIZING)
        assert isinstance(ready, wire.Ready), ready
        assert "not applied" not in ready.loaded.description or sys.platform != "linux"
        assert ready.loaded.memory > 50 * 2**20
        events = worker.ask(1, raw("CANARY The capital of France is", max_tokens=12))
        assert "Paris" in text(events)
        assert worker.ask(2, raw("CANARY " * 3000))[-1].code == "context_length_exceeded"
        assert (
            worker.ask(3, chat("CANARY", form=Grammar(grammar='root ::= "CANARY" foo')))[-1].code
            == "unsupported_schema"
        )
        assert worker.beats
        worker.send(wire.Shutdown())
        assert worker.process.wait(20) == 0
        assert "CANARY" not in worker.stderr()
    finally:
        worker.close()


def test_a_random_adapter_changes_the_answer(tmp_path):
    """A LoRA adapter (random here) can be turned on and off by request; an unknown name is refused."""
    from lora import write_random_lora

    path = write_random_lora(smollm2(), tmp_path / "random.gguf")
    made = Llama(tmp_path, smol(adapters=(Adapter(name="odd", path=str(path)),)), Sizing(context=512, threads=1))
    try:
        loaded, off, on = (
            made.say(raw("The capital of France is", max_tokens=12, adapters=adapters))[0]
            for adapters in ((), (("odd", 0.0),), (("odd", 1.0),))
        )
        assert loaded == on != off
        with pytest.raises(InvalidRequest, match="odd"):
            made.ask(raw("a", adapters=(("other", 1.0),)))
    finally:
        made.engine.close()


TOOLS_TEMPLATE = """
{%- if tools %}<|im_start|>system
You may call functions within <tools></tools>:
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
For each call answer with JSON within <tool_call></tool_call>:
<tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role == "assistant" and message.tool_calls %}<|im_start|>assistant
{{ message.content or "" }}{% for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def test_a_template_that_knows_tools_is_used(tmp_path):
    """Tools, calls and results are shown by such a template; forced calls are held all the same, none stays none."""
    made = Llama(tmp_path, smol(template=TOOLS_TEMPLATE), Sizing(context=2048, threads=1))
    parameters = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    tool = Tool(name="weather", description="The weather of a city.", parameters=parameters)
    history = (
        Message(role="user", content=(TextPart(text="Weather in Rome?"),)),
        Message(role="assistant", calls=(Call(id="c1", name="weather", arguments='{"city": "Rome"}'),)),
        Message(role="tool", call_id="c1", content=(TextPart(text="sunny"),)),
    )
    try:
        assert made.loaded.tools
        written = text(made.ask(Render(chat=Chat(messages=history, tools=(tool,)))))
        assert "<tools>" in written and '"arguments": {"city": "Rome"}' in written
        assert "<tool_response>\nsunny" in written and "You can call" not in written
        events = made.ask(chat("Weather?", tools=(tool,), choice=ToolChoice(mode="required")))
        assert events[-1].finish == "tool_calls"
        for name, arguments in calls(events):
            assert name == "weather" and json.loads(arguments)["city"] in {"Paris", "Rome"}
        for choice in (ToolChoice(mode="auto"), ToolChoice(mode="none")):
            asked = chat("Say hello.", tools=(tool,), choice=choice, max_tokens=24)
            events = made.ask(asked)
            assert choice.mode == "auto" or not calls(events)
            assert (events[-1].finish == "tool_calls") == bool(calls(events))
    finally:
        made.engine.close()


def test_a_history_with_calls_is_told_in_words(llama):
    """A template that knows no tools gets tools, calls and results as text; with tool_choice none no tools at all."""
    tool = Tool(name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
    history = (
        Message(role="user", content=(TextPart(text="Weather in Rome?"),)),
        Message(role="assistant", calls=(Call(id="c1", name="weather", arguments='{"city": "Rome"}'),)),
        Message(role="tool", call_id="c1", content=(TextPart(text="sunny"),)),
    )
    written = text(llama.ask(Render(chat=Chat(messages=history, tools=(tool,)))))
    assert '{"name": "weather", "arguments": {"city": "Rome"}}' in written
    assert "Result of weather: sunny" in written and "You can call these tools" in written
    hidden = Chat(messages=history[:1], tools=(tool,), tool_choice=ToolChoice(mode="none"))
    assert "weather" not in text(llama.ask(Render(chat=hidden)))


def test_a_model_with_the_tokens_fills_gaps(tmp_path):
    """With tokens for it (borrowed here, so that what it fills in is nonsense) a gap is filled and streamed."""
    import gguf

    path = tmp_path / "infill.gguf"
    with_tokens(smollm2(), path, gguf)
    model = Model(name="gap", engine="llama", files={"model": str(path)}, tasks=("infill",))
    made = Llama(tmp_path, model, Sizing(context=512, threads=1))
    try:
        assert "infill" in made.loaded.tasks
        gap = Infill(prefix="def add(a, b):\n    ", suffix="\n\nadd(1, 2)", extra=(("x.py", "y = 1"),))
        events = made.ask(Generate(prompt=gap, max_tokens=8, sampling=Sampling(ignore_eos=True)))
        assert isinstance(events[0], Progress) and text(events)
        assert events[-1].finish == "length" and events[-1].usage.completion == 8
        stop = threading.Event()
        stop.set()
        made.engine.run(Generate(prompt=gap), events.append, stop)
        assert events[-1].usage.completion <= 1
        with pytest.raises(ContextLengthExceeded):
            made.ask(Generate(prompt=Infill(prefix="word " * 3000, suffix="")))
    finally:
        made.engine.close()


def with_tokens(source, target, gguf) -> None:
    """Copy a GGUF, calling three of its special tokens by the names of those for filling gaps."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        contents = field.contents()
        if field.name == "tokenizer.ggml.tokens":
            contents[3:6] = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, contents, kind, sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_shape=tensor.data.shape, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", ["draft", "ngram-simple", "ngram-map-k"])
def test_guessing_ahead_changes_no_greedy_text(llama, tmp_path, kind):
    """With a draft model, or n-grams, greedy text stays what it is without."""
    words = "def add(a, b):\n    return a + b\n\ndef add(a, b):\n    return a +"
    plain, _ = llama.say(raw(words, max_tokens=40, cache=False))
    files = {"model": str(smollm2())} | ({"draft": str(smollm2())} if kind == "draft" else {})
    options = {"draft_max": 4} if kind == "draft" else {"speculation": kind}
    model = Model(name="s", engine="llama", files=files, tasks=("chat",), options=options)
    made = Llama(tmp_path, model, Sizing(context=1024, threads=1))
    try:
        assert made.say(raw(words, max_tokens=40, cache=False))[0] == plain
    finally:
        made.engine.close()
