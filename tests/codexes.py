"""A request as the Codex program sends it, in shape: written by us, with the kinds of fields and items it has."""

INSTRUCTIONS = "You are a coding agent. " + "Follow the rules of this repository. " * 40


def message(role, text, place):
    part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
    return {"type": "message", "role": role, "id": f"item-{place}", "content": [part]}


def function(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "name": name, "description": f"{name}.", "strict": False, "parameters": parameters}


SHELL = function("exec_command", cmd={"type": "string", "maxLength": 64})
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" /.+/s'},
}
MAPS = {
    "type": "namespace",
    "name": "mcp__maps",
    "description": "Maps.",
    "tools": [function("find", city={"type": "string", "maxLength": 16})],
}
SEARCH = {"type": "web_search", "external_web_access": False}
HISTORY = [
    message("user", "List the files.", 2),
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAAAABfromElsewhere"},
    {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": "call_1"},
    {"type": "function_call_output", "call_id": "call_1", "output": "a.py\nb.py"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    message("assistant", "There are two files.", 3),
]


def request(model, text, **fields):
    """The body of a turn that follows some others."""
    head = [message("developer", INSTRUCTIONS, 0), message("user", "<environment>linux</environment>", 1)]
    return {
        "model": model,
        "input": [*head, *HISTORY, message("user", text, 4)],
        "tools": [SHELL, PATCH, MAPS, SEARCH],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-thread",
        "client_metadata": {"originator": "codex"},
        "text": {"verbosity": "low"},
        **fields,
    }
