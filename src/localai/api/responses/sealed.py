"""The strings that OpenAI encrypts and this server only packs: text that clients carry back to us unread."""

import base64
import binascii

_MARK = "localai.1."


def seal(text: str) -> str:
    """Pack a text; whoever holds the string may know what is in it, so nothing is hidden."""
    return _MARK + base64.urlsafe_b64encode(text.encode()).decode()


def unseal(sealed: str) -> str | None:
    """The text of a string that `seal` made; None for one that another server made."""
    if not sealed.startswith(_MARK):
        return None
    try:
        return base64.b64decode(sealed.removeprefix(_MARK), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
