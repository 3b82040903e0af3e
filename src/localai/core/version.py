"""The version of the installed program."""

from functools import cache


@cache
def version() -> str:
    """The version the package was installed as, such as "0.1.0" (looked up late: the look-up is slow to import)."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("localai-server")
    except PackageNotFoundError:
        return "0"
