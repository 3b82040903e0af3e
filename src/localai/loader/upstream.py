"""Understands model files written for mudler/LocalAI: what means the same here is taken, the rest is reported.

Nothing in such a file is fatal by being unknown; a note says what is not honoured.
"""

from typing import Any, NamedTuple, cast

from localai.loader.file import ModelFile, Parameters

_ENGINES = {"llama-cpp": "llama", "llama": "llama", "llama-stable": "llama", "llama-cpp-fallback": "llama"}
_TOP = {
    "context_size": "context",
    "system_prompt": "system",
    "usage": None,
    "license": "licence",
}
WRITTEN_AS = {ours: theirs for theirs, ours in _TOP.items() if ours} | {"engine": "backend"}
"""What a field of ours is called in such a file."""
_PARAMETERS = frozenset(Parameters.model_fields) - {"stop"}
_TOP_PARAMETERS = frozenset(("mirostat", "mirostat_tau", "mirostat_eta", "temperature", "top_p", "top_k", "seed"))
_FILES = {"mmproj": "mmproj", "draft_model": "draft"}
_OPTIONS = frozenset(
    (
        "gpu_layers", "main_gpu", "tensor_split", "mmap", "mmlock", "numa", "flash_attention", "no_kv_offloading",
        "cache_type_k", "cache_type_v", "rope_scaling", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast",
        "yarn_beta_slow", "rope_freq_base", "rope_freq_scale", "n_draft",
    )
)  # fmt: skip
_RENAMED = {
    "mmlock": "mlock",
    "n_draft": "draft_max",
    "spec_n_max": "draft_max",
    "spec_n_min": "draft_min",
    "spec_p_min": "draft_p_min",
    "pooling_type": "pooling",
}
"""Engine options that have another name here."""
_USES = {
    "chat": ("chat",),
    "completion": ("complete",),
    "embeddings": ("embed",),
    "rerank": ("rerank",),
    "tokenize": ("tokenize",),
    "vision": ("chat", "vision"),
}
_OURS = frozenset(ModelFile.model_fields)


class Understood(NamedTuple):
    """A model file in our own fields."""

    fields: dict[str, Any]
    notes: tuple[str, ...]
    redirect: str | None = None
    """The model that this name is only another name of."""
    disabled: bool = False


def translate(written: dict[str, Any]) -> Understood:
    """Return a model file's fields in our own terms; a file that is in them already comes out as it is."""
    return _Translation(written).result()


class _Translation:
    """One file on its way: `fields` grows, what is not understood becomes a note."""

    def __init__(self, written: dict[str, Any]) -> None:
        self._left = {str(key): value for key, value in written.items() if value is not None}
        if isinstance(self._left.get("files"), dict):
            self._left["files"] = dict(self._left["files"])
        self._fields: dict[str, Any] = {}
        self._notes: list[str] = []

    def result(self) -> Understood:
        redirect = self._left.pop("alias", None)
        disabled = self._left.pop("disabled", False) is True
        self._engine()
        self._take_parameters()
        self._take_files()
        self._take_adapters()
        self._take_tasks()
        self._take_options()
        if self._left.pop("pinned", False) is True:
            self._fields.setdefault("keep_alive", -1)
        if isinstance(self._left.get("template"), dict):
            self._go_templates(self._left.pop("template"))
        for key, value in self._left.items():
            self._take(key, value)
        return Understood(
            fields=self._fields,
            notes=tuple(self._notes),
            redirect=redirect if isinstance(redirect, str) else None,
            disabled=disabled,
        )

    def _take(self, key: str, value: Any) -> None:
        ours = _TOP.get(key, key)
        if ours is None:
            return
        if key == "context_size" and value in {0, -1}:
            return
        if ours in _OURS:
            self._fields.setdefault(ours, value)
        else:
            self._note(key)

    def _engine(self) -> None:
        backend = self._left.pop("backend", None)
        if backend:
            self._fields["engine"] = _ENGINES.get(str(backend), backend)

    def _take_parameters(self) -> None:
        given = self._left.pop("parameters", None)
        taken: dict[str, Any] = {}
        if isinstance(given, dict):
            for key, value in cast("dict[Any, Any]", given).items():
                self._parameter(taken, str(key), value)
        elif given is not None:
            self._fields["parameters"] = given
        for key in _TOP_PARAMETERS & self._left.keys():
            taken.setdefault(key, self._left.pop(key))
        words = self._left.pop("stopwords", None)
        if words:
            taken.setdefault("stop", words)
        if taken:
            self._fields["parameters"] = taken

    def _parameter(self, taken: dict[str, Any], key: str, value: Any) -> None:
        unlimited = key == "max_tokens" and value in {0, -1}
        if value is None or unlimited:
            return
        if key == "model":
            self._file("model", value)
        elif key in _PARAMETERS or key == "stop":
            taken[key] = value
        elif key in _OPTIONS:
            self._option(key, value)
        else:
            self._note(f"parameters.{key}")

    def _take_files(self) -> None:
        for key, role in _FILES.items():
            if self._left.get(key):
                self._file(role, self._left.pop(key))

    def _file(self, role: str, path: Any) -> None:
        files = self._left.get("files")
        if files is None:
            files = self._left["files"] = {}
        if isinstance(files, dict):
            cast("dict[str, Any]", files).setdefault(role, path)

    def _take_adapters(self) -> None:
        files, scales = self._left.pop("lora_adapters", None), self._left.pop("lora_scales", None)
        if files is None and self._left.get("lora_adapter"):
            files = [self._left.pop("lora_adapter")]
            scales = [self._left.pop("lora_scale", 1.0) or 1.0]
        if not isinstance(files, list):
            return
        weights: list[Any] = cast("list[Any]", scales) if isinstance(scales, list) else []
        adapters: list[dict[str, Any]] = []
        for index, file in enumerate(cast("list[Any]", files)):
            stem = str(file).rsplit("/", 1)[-1].rsplit(".", 1)[0]
            scale = weights[index] if index < len(weights) else 1.0
            adapters.append({"name": stem, "file": file, "scale": scale})
        self._fields["adapters"] = adapters

    def _take_tasks(self) -> None:
        uses = self._left.pop("known_usecases", None)
        found: list[str] = []
        if isinstance(uses, list):
            for use in cast("list[Any]", uses):
                tasks = _USES.get(str(use).lower().removeprefix("flag_"))
                if tasks is None:
                    self._note(f"known_usecases: {use}")
                found.extend(tasks or ())
        if self._left.pop("embeddings", False) is True:
            found += ["embed", "tokenize"]
        if self._left.pop("reranking", False) is True:
            found += ["rerank", "tokenize"]
        if found:
            self._fields["tasks"] = list(dict.fromkeys(found))

    def _take_options(self) -> None:
        given = self._left.pop("options", None)
        if isinstance(given, list):
            for entry in cast("list[Any]", given):
                key, _, value = str(entry).partition(":")
                self._option(key.strip(), _plain(value.strip()))
        elif isinstance(given, dict):
            for key, value in cast("dict[Any, Any]", given).items():
                self._option(str(key), value)
        elif given is not None:
            self._fields["options"] = given
        for key in _OPTIONS & self._left.keys():
            self._option(key, self._left.pop(key))

    def _option(self, key: str, value: Any) -> None:
        if key == "parallel":
            self._fields.setdefault("slots", value)
        elif value != "auto":
            plain = {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value
            self._fields.setdefault("options", {})[_RENAMED.get(key, key)] = plain

    def _go_templates(self, templates: dict[Any, Any]) -> None:
        for key in templates:
            if key != "use_tokenizer_template":
                self._notes.append(f"`template.{key}` is a Go template; the model's own chat template is used instead.")

    def _note(self, key: str) -> None:
        self._notes.append(f"`{key[:100]}` is not known here and has no effect.")


def _plain(text: str) -> Any:
    """The value of a "key:value" option: a number or truth where it reads as one."""
    lowered = text.lower()
    if lowered in {"true", "false", ""}:
        return lowered != "false"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
