import gguf

from localai.loader.ggml import BY_NAME, FILE_TYPES, FORMATS


def test_formats_are_those_of_ggml():
    """Every type that ggml's own Python library knows has the same name, block and size here."""
    for kind, (block, taken) in gguf.GGML_QUANT_SIZES.items():
        if kind.name != "Q8_1":  # never in a file; the library still has the size it had in 2023
            assert FORMATS[kind.value] == (kind.name, block, taken)


def test_file_types_are_those_of_llama():
    """Every file type that the library knows has its name here."""
    for kind in gguf.LlamaFileType:
        if kind.name not in {"GUESSED", "MOSTLY_MXFP4_MOE"}:
            assert FILE_TYPES[kind.value] == kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")


def test_names_are_unique():
    """A type is found by its name."""
    assert len(BY_NAME) == len(FORMATS)
    assert BY_NAME["Q8_0"] == FORMATS[8]
