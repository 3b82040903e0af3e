from localai.loader.header import Header, tasks


def test_tasks_follow_from_the_header():
    """What a model does is read from its template, tokens, pooling and kind."""
    assert tasks(Header(architecture="x")) == ("complete", "tokenize")
    assert tasks(Header(architecture="x", template="t")) == ("chat", "complete", "tokenize")
    assert tasks(Header(architecture="x", infill=True)) == ("complete", "infill", "tokenize")
    assert tasks(Header(architecture="x", pooling="rank")) == ("rerank", "tokenize")
    assert tasks(Header(architecture="x", pooling="last", template="t")) == ("embed", "tokenize")
    assert tasks(Header(architecture="x", pooling="none", template="t")) == ("chat", "complete", "tokenize")
    assert tasks(Header(architecture="bert", causal=False)) == ("embed", "tokenize")
    assert tasks(Header(architecture="clip", kind="mmproj")) == ()
