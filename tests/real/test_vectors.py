"""File search with a real embedding model."""

import time

import pytest

from gateway import Gateway
from posting import Client

pytestmark = [pytest.mark.real, pytest.mark.slow]

PAGES = {
    "volcano": "Molten rock rises through cracks in the crust. When pressure is released, lava and ash burst out.",
    "bread": "Mix flour, water, salt and yeast. Knead, let it rise, and put the loaf in a hot oven for forty minutes.",
    "tax": "Employees file an annual return. Income above the allowance is charged at progressive rates.",
    "cat": "A kitten needs vaccinations, a litter box and several small meals a day.",
    "bicycle": "To mend a flat tyre, take the inner tube out, find the hole and glue a patch over it.",
    "moon": "Its phases follow from the angle between the Sun, the Earth and our satellite during a month.",
    "guitar": "Tune the six strings to E, A, D, G, B and E before practising chords.",
    "malaria": "The parasite is carried by mosquitoes; nets and drugs lower the number of infections.",
    "python": "A list comprehension builds a list from an iterable in one expression of the programming language.",
    "chess": "The king may castle with a rook if neither has moved and no square between them is attacked.",
    "vineyard": "Grapes are picked in autumn, pressed, and the juice ferments in oak barrels.",
    "mortgage": "The bank lends money for a house and keeps a claim on it until the loan is repaid.",
}
QUESTIONS = {
    "Why does a mountain erupt?": "volcano",
    "How do I bake a loaf at home?": "bread",
    "How much of my salary goes to the state?": "tax",
    "Caring for a young pet feline": "cat",
    "My bike has a puncture, what now?": "bicycle",
    "Why do we see a crescent at night?": "moon",
    "Which notes do the strings of the instrument have?": "guitar",
    "How is the tropical fever transmitted?": "malaria",
    "Short syntax to create arrays in code": "python",
    "Borrowing to buy a home": "mortgage",
}


@pytest.fixture(scope="module")
def searched(real_gateway: Gateway):
    """A client, and a store that holds all pages."""
    client = Client(real_gateway.port, real_gateway.key)
    files = [client.store(text.encode(), "assistants", f"{name}.txt") for name, text in PAGES.items()]
    status, store = client.ask("POST", "/v1/vector_stores", {"file_ids": files, "embedding_model": "minilm"})
    assert status == 200, store
    path = f"/v1/vector_stores/{store['id']}"
    deadline = time.monotonic() + 300
    while (store := client.ask("GET", path)[1])["status"] == "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert store["file_counts"]["completed"] == len(PAGES), store
    return client, path


@pytest.mark.parametrize("ranker", ["auto", "none"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_right_page_comes_first(searched, question: str, ranker: str):
    """Asked in other words, the page that answers comes first, by meaning alone and together with words."""
    client, path = searched
    body = {"query": question, "ranking_options": {"ranker": ranker}, "max_num_results": 3}
    status, page = client.ask("POST", f"{path}/search", body)
    assert status == 200, page
    assert page["data"][0]["filename"] == f"{QUESTIONS[question]}.txt"


def test_text_longer_than_the_model_takes_is_found(searched):
    """A long file is cut to what the model takes, and a chunk that is larger still is embedded in parts."""
    client, path = searched
    filler = "The committee met and approved the minutes of the previous session without any changes. "
    text = filler * 40 + "A comet will pass close to Jupiter in March. " + filler * 40
    for number, size in enumerate((None, 2000)):
        static = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": 0}
        rule = {"type": "auto"} if size is None else {"type": "static", "static": static}
        file = client.store(text.encode(), "assistants", f"minutes{number}.txt")
        body = {"file_id": file, "chunking_strategy": rule}
        assert client.ask("POST", f"{path}/files", body)[0] == 200
        deadline = time.monotonic() + 300
        while (ready := client.ask("GET", f"{path}/files/{file}")[1])["status"] == "in_progress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ready["status"] == "completed", ready
        assert ready["chunking_strategy"]["static"]["max_chunk_size_tokens"] == (size or 384)
    found = client.ask("POST", f"{path}/search", {"query": "When does the comet come?", "max_num_results": 2})[1]
    assert "comet" in found["data"][0]["content"][0]["text"]
