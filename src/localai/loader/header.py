"""What is known of a model file from its front: the value `Header`, and what it can do by it."""

from typing import Literal

from localai.core.task import Value

Kind = Literal["model", "mmproj", "adapter", "other"]


class Header(Value, frozen=True):
    """The checked facts of a GGUF model (all parts of a split one together). Sizes are bytes, lengths tokens."""

    architecture: str
    kind: Kind = "model"
    """"mmproj": the eyes or ears of another model; "adapter": a LoRA; "other": a control vector and the like."""
    name: str = ""
    file_type: int | None = None
    quantisation: str = ""
    """Such as "Q4_1" or "Q4_K_M"."""
    parameters: int = 0
    """Number of weights."""
    context: int = 0
    """Trained context; 0 when the file does not say."""
    blocks: int = 0
    embedding: int = 0
    feed_forward: int = 0
    """Widest hidden layer that one token passes (of a mixture: of all experts it uses)."""
    gated: bool = True
    """The hidden layers are of the gated kind, with three matrices."""
    heads: int = 0
    """Attention heads of the block that has most."""
    heads_kv: tuple[int, ...] = ()
    """Key/value heads of each block; 0 for a block without attention."""
    key_length: int = 0
    value_length: int = 0
    window: int = 0
    """Sliding attention window in tokens; 0 for none."""
    state: int = 0
    """Numbers that a recurrent model keeps for each sequence, all blocks together."""
    vocabulary: int = 0
    template: str | None = None
    pooling: str | None = None
    """How an embedding is made of the tokens' vectors: none, mean, cls, last or rank."""
    licence: str | None = None
    infill: bool = False
    """The vocabulary has fill-in-the-middle tokens."""
    causal: bool = True
    """False for encoders, which see the whole text at once and keep no cache."""
    vision: bool = False
    hearing: bool = False
    matrices: dict[str, int] = {}
    """Bytes of the matrices in blocks and output by tensor type: those that an engine may store a second time."""
    tensor_bytes: int = 0
    size: int = 0
    """Bytes of all its files."""
    parts: int = 1


def tasks(header: Header) -> tuple[str, ...]:
    """Return what a model can do (`core.task.Verb`s) as its header tells; nothing for what is no model by itself."""
    if header.kind != "model":
        return ()
    if header.pooling == "rank":
        return ("rerank", "tokenize")
    if not header.causal or header.pooling not in {None, "none"}:
        return ("embed", "tokenize")
    found = ["chat"] if header.template else []
    found.append("complete")
    if header.infill:
        found.append("infill")
    found.append("tokenize")
    return tuple(found)
