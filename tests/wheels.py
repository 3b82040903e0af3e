"""Makes wheels for tests."""

import io
import zipfile
from collections.abc import Mapping


def wheel(members: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The bytes of a zip archive with these members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()
