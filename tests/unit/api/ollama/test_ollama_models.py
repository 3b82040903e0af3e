"""What is told about models, and the requests that make or fetch them."""

from datetime import UTC, datetime

import pytest

from localai.api.ollama import create, listing, modelfile, pull, show
from localai.api.ollama.create import CreateBody, planned
from localai.core.caller import LOCAL, Caller
from localai.core.errors import FetchFailed, InternalError, InvalidRequest, LocalAIError, ModelNotFound
from localai.core.model import Model
from localai.core.task import Sampling
from localai.fleet.snapshot import Row
from localai.loader.header import Header
from localai.service.about import About
from localai.service.install import RECIPES, InstallProgress
from localai.service.library import Draft

HEADER = Header(
    architecture="llama",
    name="Tiny",
    file_type=3,
    quantisation="Q4_1",
    parameters=134_515_008,
    context=8192,
    blocks=30,
    embedding=576,
    feed_forward=1536,
    heads=9,
    heads_kv=(3, 3),
    template="{% if enable_thinking %}{% endif %}",
)
MODEL = Model(
    name="tiny",
    engine="llama",
    files={"model": "/x"},
    digests={"model": "ab"},
    tasks=("chat", "complete", "embed", "infill", "vision"),
    aliases=("gpt-oss:20b",),
    parameters=Sampling(temperature=0.5, ignore_eos=False),
    stop=("<end>",),
    max_tokens=9,
    context=4096,
    system="Be kind.",
    size=98,
    created=1_700_000_000,
)
ABOUT = About(model=MODEL, header=HEADER)
GUEST = Caller(id="k", owner="o", models=("gpt-oss:20b",))


def test_tags():
    """Each name a caller may use has a row; rows of the same model share its digest."""
    rows = listing.tags([ABOUT], LOCAL)["models"]
    assert [row["name"] for row in rows] == [row["model"] for row in rows] == ["tiny", "gpt-oss:20b"]
    assert len({row["digest"] for row in rows}) == 1
    assert len(rows[0]["digest"]) == 64
    assert rows[0]["size"] == 98
    assert datetime.fromisoformat(rows[0]["modified_at"]) == datetime.fromtimestamp(1_700_000_000, UTC)
    assert rows[0]["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "134.5M",
        "quantization_level": "Q4_1",
    }
    assert [row["name"] for row in listing.tags([ABOUT], GUEST)["models"]] == ["gpt-oss:20b"]


def test_digests_follow_the_model():
    """A digest depends on what the model is, not on its names; of loose weights also on when they came."""
    digests = [
        listing.digest(model)
        for model in (
            MODEL,
            Model(name="other", engine="llama", files={"model": "/x"}, created=1),
            Model(name="other", engine="llama", files={"model": "/x"}, created=2),
        )
    ]
    assert len(set(digests)) == 3
    same = Model(name="a", engine="echo", created=1), Model(name="b", engine="echo", aliases=("c",), created=2)
    assert listing.digest(same[0]) == listing.digest(same[1])


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, ""), (999, "999"), (1500, "1.5K"), (134_515_008, "134.5M"), (8_030_261_248, "8.0B"), (10**12, "1.0T")],
)
def test_sizes_in_words(number, words):
    """A number of weights is told as people say it."""
    assert listing.size_words(number) == words


def test_running():
    """Only what can answer is listed; what stays for ever, or is busy, expires centuries ahead."""
    rows = [
        Row(name="tiny", state="ready", memory=5, context=64, expires_at=1_700_000_000.5),
        Row(name="tiny", state="ready", estimated=7, context=64),
        Row(name="tiny", state="starting"),
    ]
    abouts = [About(model=MODEL, header=HEADER, running=row) for row in rows] + [ABOUT]
    assert {row["name"] for row in listing.running(abouts, GUEST)["models"]} == {"gpt-oss:20b"}
    found = listing.running(abouts, LOCAL)["models"]
    assert {row["name"] for row in found} == {"tiny"}
    assert [(row["size"], row["size_vram"], row["context_length"]) for row in found] == [(5, 0, 64), (7, 0, 64)]
    ends = [datetime.fromisoformat(row["expires_at"]) for row in found]
    assert ends[0].timestamp() == 1_700_000_000.5
    assert ends[1].year > 2300


def test_capabilities():
    """What a model can do is told in Ollama's words."""
    assert listing.capabilities(MODEL, HEADER) == ["completion", "tools", "insert", "vision", "embedding", "thinking"]
    assert listing.capabilities(Model(name="e", engine="llama", tasks=("embed",)), HEADER) == ["embedding"]


def test_show():
    """Showing a model gives its header under the names of the file, and a Modelfile that makes it again."""
    shown = show.reply(ABOUT, "mit")
    info = shown["model_info"]
    assert (info["general.architecture"], info["llama.context_length"], info["llama.attention.head_count_kv"]) == (
        "llama",
        8192,
        3,
    )
    assert (shown["template"], shown["system"], shown["license"]) == (HEADER.template, "Be kind.", "mit")
    assert shown["parameters"].split() == [
        "temperature",
        "0.5",
        "num_ctx",
        "4096",
        "num_predict",
        "9",
        "stop",
        '"<end>"',
    ]
    draft = planned(CreateBody(modelfile=shown["modelfile"])).draft
    assert draft == Draft(
        base="tiny",
        system="Be kind.",
        licence="mit",
        context=4096,
        parameters={"temperature": 0.5, "stop": ["<end>"], "max_tokens": 9},
    )


def test_show_without_a_file():
    """A model without a file is told by its engine."""
    shown = show.reply(About(model=Model(name="e", engine="echo", tasks=("chat",)), default=512), "")
    assert shown["model_info"] == {"general.architecture": "echo", "echo.context_length": 512}
    assert shown["modelfile"] == "FROM e\n"


MODELFILE = '''# a comment
FROM tiny:latest

PARAMETER temperature 0.5
parameter stop "<a>"
PARAMETER stop <b>
PARAMETER num_ctx 4096
PARAMETER num_keep 5
SYSTEM """You are
kind."""
TEMPLATE """{% for m in messages %}{{ m.content }}{% endfor %}"""
ADAPTER @sha256:{hex}
LICENSE "MIT"
REQUIRES 0.14.0'''.replace("{hex}", "a" * 64)


def test_modelfiles():
    """Every instruction of a Modelfile is a field of the JSON form."""
    plan = planned(CreateBody(modelfile=MODELFILE))
    assert plan.draft == Draft(
        base="tiny:latest",
        adapters=(("adapter-1.gguf", f"sha256:{'a' * 64}"),),
        template="{% for m in messages %}{{ m.content }}{% endfor %}",
        system="You are\nkind.",
        licence="MIT",
        context=4096,
        parameters={"temperature": 0.5, "stop": ["<a>", "<b>"]},
    )
    assert plan.notes == ("the parameter num_keep changes nothing here",)


def test_modelfiles_of_uploads():
    """FROM names uploaded files by their digest, in either spelling; fields of the body stand above the file's."""
    text = f"FROM @sha256:{'a' * 64}\nFROM sha256-{'b' * 64}\r\nSYSTEM one"
    draft = planned(CreateBody(modelfile=text, system="two")).draft
    assert draft.files == (("file-1.gguf", f"sha256:{'a' * 64}"), ("file-2.gguf", f"sha256:{'b' * 64}"))
    assert draft.system == "two"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "FROM"),
        ("SYSTEM x", "FROM"),
        ("FROM a\nFROM b", "Line 2"),
        ("FROM a\n\nWHAT x", "Line 3"),
        ('FROM a\nSYSTEM """x', "Line 2"),
        ("FROM a\nPARAMETER temperature", "Line 2"),
        ("FROM a\nADAPTER ./x.gguf", "blobs"),
        ("FROM a\nPARAMETER nothing 1", "nothing"),
        ("FROM a\nPARAMETER temperature hot", "temperature"),
        ("FROM a\nMESSAGE user hi", "messages"),
        ("FROM ./a.gguf", "blobs"),
        ("FROM a\n" + "#" * 2**20, "characters"),
    ],
)
def test_modelfiles_that_are_none(text, words):
    """What is no Modelfile, or cannot be honoured, is refused with where and why."""
    with pytest.raises(InvalidRequest) as caught:
        planned(CreateBody(modelfile=text or " "))
    assert words in caught.value.message or words == caught.value.param


def test_modelfile_values():
    """Values are numbers and truths where they look like it, and texts without their quotes."""
    fields = modelfile.parse(
        'FROM a\nPARAMETER a 1\nPARAMETER b 1.5\nPARAMETER c true\nPARAMETER d "x y"\nMESSAGE user "hi you"'
    )
    assert fields["parameters"] == {"a": 1, "b": 1.5, "c": True, "d": "x y"}
    assert fields["messages"] == [{"role": "user", "content": "hi you"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "from"),
        ({"path": "/etc/passwd"}, "path"),
        ({"from": "a", "quantize": "q4_0"}, "quantize"),
        ({"from": "a", "messages": [{"role": "user", "content": "x"}]}, "messages"),
        ({"from": "a", "template": "{{ if .System }}x{{ end }}"}, "template"),
        ({"from": "a", "template": "{{- range .Messages }}"}, "template"),
        ({"from": "a", "parameters": {"what": 1}}, "parameters"),
        ({"from": "a", "parameters": {"top_p": 5}}, "parameters.top_p"),
        ({"from": "./model.gguf"}, "from"),
    ],
)
def test_what_cannot_be_made(fields, param):
    """What cannot be honoured in a new model is refused, and named."""
    with pytest.raises(InvalidRequest) as caught:
        planned(CreateBody.model_validate(fields))
    assert caught.value.param == param


def test_licences():
    """A short licence is kept as it is, of a long one its first line, and that is said."""
    short = planned(CreateBody.model_validate({"from": "a", "license": ["MIT", "Apache-2.0"]}))
    assert (short.draft.licence, short.notes) == ("MIT\nApache-2.0", ())
    long = planned(CreateBody.model_validate({"from": "a", "license": "The Licence\n" + "x" * 300}))
    assert (long.draft.licence, len(long.notes)) == ("The Licence", 1)


def test_sources():
    """A name is a recipe's, or a source as it is; anything else is not found."""
    for reference, recipe in RECIPES.items():
        assert pull.source(recipe.name) == pull.source(f"{recipe.name}:latest") == reference
    for name in ("starter", "https://example.org/m.gguf", "pypi:a==1/b.gguf", "file:///m.gguf"):
        assert pull.source(name) == name
    with pytest.raises(ModelNotFound, match="not installed"):
        pull.source("llama3.2")


async def steps(*progress):
    async def running():
        for step in progress:
            yield step

    return [step async for step in pull.steps(running(), "ref")]


async def test_progress():
    """An installation is told as Ollama tells it; every line of one download has the same `digest`."""
    found = await steps(
        InstallProgress(phase="resolving"),
        InstallProgress(phase="resolving"),
        InstallProgress(phase="downloading", done=1, total=9),
        InstallProgress(phase="downloading", done=9, total=9),
        InstallProgress(phase="verifying"),
        InstallProgress(phase="installed"),
    )
    assert found[0] == {"status": "pulling manifest"}
    assert [(step["completed"], step["total"]) for step in found[1:3]] == [(1, 9), (9, 9)]
    assert len({step["digest"] for step in found[1:3]}) == 1
    assert found[1]["status"] == f"pulling {found[1]['digest'][7:19]}"
    assert [step["status"] for step in found[3:]] == ["verifying sha256 digest", "writing manifest", "success"]


async def test_an_installation_that_fails():
    """A failure is raised as the error it was; one without an end is an error too."""
    with pytest.raises(FetchFailed, match="no line"):
        await steps(
            InstallProgress(phase="resolving"), InstallProgress(phase="failed", code="fetch_failed", error="no line")
        )
    with pytest.raises(InternalError):
        await steps(InstallProgress(phase="resolving"))


def test_pushing():
    """A push is refused by an error of the request."""
    assert isinstance(pull.refusal(), LocalAIError)
    assert pull.refusal().status == 400


def test_copies():
    """A copy needs both names."""
    for fields in ({"source": "a"}, {"destination": "b"}, {"source": "", "destination": "b"}):
        with pytest.raises(ValueError):
            create.CopyBody.model_validate(fields)
