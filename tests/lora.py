"""Writes a LoRA adapter with random weights: it changes what a model says, to nothing sensible."""

from pathlib import Path


def write_random_lora(model: Path, target: Path, *, rank: int = 4, seed: int = 0) -> Path:
    """An adapter for the query projections of a GGUF model."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(model)
    chance = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 4.0 * rank)
    for tensor in reader.tensors:
        if not tensor.name.endswith("attn_q.weight"):
            continue
        inside, outside = (int(length) for length in tensor.shape)
        for name, shape in (("lora_a", (rank, inside)), ("lora_b", (outside, rank))):
            weights = chance.normal(0, 0.3, shape).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.{name}", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
