from localai.loader.upstream import translate

WRITTEN = {
    "name": "gpt-4",
    "description": "A model",
    "backend": "llama-cpp",
    "context_size": 2048,
    "threads": 4,
    "f16": True,
    "mmap": True,
    "mmlock": True,
    "gpu_layers": 10,
    "flash_attention": "on",
    "cache_type_k": "q8_0",
    "system_prompt": "Be kind.",
    "stopwords": ["</s>"],
    "mmproj": "mmproj.gguf",
    "draft_model": "draft.gguf",
    "lora_adapters": ["a/one.gguf", "two.gguf"],
    "lora_scales": [0.5],
    "parameters": {
        "model": "m.gguf",
        "temperature": 0.3,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "max_tokens": 100,
        "seed": 7,
        "n_keep": 5,
    },
    "mirostat": 2,
    "known_usecases": ["chat", "FLAG_VISION", "video"],
    "options": ["parallel:3", "use_jinja:true", "spec_n_max:8", "cache_ram:64", "p:0.5", "x:text", "pooling_type:auto"],
    "template": {"use_tokenizer_template": True, "chat": "{{.Input}}"},
    "roles": {"user": "User:"},
    "function": {"grammar": {}},
    "pinned": True,
}


def test_what_means_the_same_is_taken():
    """Names, files, sampling, context, adapters, tasks and engine options are found under their other names."""
    fields = translate(WRITTEN).fields
    assert fields == {
        "name": "gpt-4",
        "description": "A model",
        "engine": "llama",
        "context": 2048,
        "threads": 4,
        "slots": 3,
        "system": "Be kind.",
        "files": {"model": "m.gguf", "mmproj": "mmproj.gguf", "draft": "draft.gguf"},
        "adapters": [
            {"name": "one", "file": "a/one.gguf", "scale": 0.5},
            {"name": "two", "file": "two.gguf", "scale": 1.0},
        ],
        "parameters": {
            "temperature": 0.3,
            "top_p": 0.9,
            "top_k": 40,
            "repeat_penalty": 1.1,
            "max_tokens": 100,
            "seed": 7,
            "mirostat": 2,
            "stop": ["</s>"],
        },
        "tasks": ["chat", "vision"],
        "options": {
            "use_jinja": True,
            "draft_max": 8,
            "cache_ram": 64,
            "p": 0.5,
            "x": "text",
            "mmap": True,
            "mlock": True,
            "gpu_layers": 10,
            "flash_attention": True,
            "cache_type_k": "q8_0",
        },
        "keep_alive": -1,
    }


def test_what_is_not_honoured_is_told():
    """Every key without effect is named in a note, once."""
    notes = translate(WRITTEN).notes
    for key in ("f16", "parameters.n_keep", "known_usecases: video", "template.chat", "roles", "function"):
        assert sum(f"`{key}`" in note for note in notes) == 1, key
    assert len(notes) == 6


def test_our_own_file_is_unchanged():
    """A file in our own terms comes out as it is, without notes."""
    written = {
        "name": "a",
        "template": "{{ x }}",
        "files": {"model": "x"},
        "options": {"cache_ram": 1},
        "tasks": ["chat"],
    }
    understood = translate(written)
    assert understood.fields == written
    assert understood.notes == ()


def test_unlimited_and_automatic_values_are_defaults():
    """Zero or -1 tokens or context, as written there for "no limit", leave our defaults."""
    fields = translate({"name": "a", "context_size": -1, "parameters": {"max_tokens": 0, "top_k": None}}).fields
    assert fields == {"name": "a"}


def test_redirects_and_disabled_models():
    """An alias file names its target; a disabled model says so."""
    assert translate({"name": "a", "alias": "b"}).redirect == "b"
    assert translate({"name": "a", "disabled": True}).disabled
    assert not translate({"name": "a"}).disabled


def test_embedding_and_reranking():
    """The switches for embeddings and reranking become tasks."""
    assert translate({"embeddings": True}).fields["tasks"] == ["embed", "tokenize"]
    assert translate({"reranking": True, "known_usecases": ["rerank"]}).fields["tasks"] == ["rerank", "tokenize"]


def test_a_single_adapter():
    """The older single adapter key is an adapter too."""
    fields = translate({"lora_adapter": "x.gguf", "lora_scale": 0.25}).fields
    assert fields["adapters"] == [{"name": "x", "file": "x.gguf", "scale": 0.25}]


def test_the_input_is_left_alone():
    """Translating does not change what was given."""
    written = {"name": "a", "files": {}, "mmproj": "x", "parameters": {"model": "m"}}
    translate(written)
    assert written == {"name": "a", "files": {}, "mmproj": "x", "parameters": {"model": "m"}}
