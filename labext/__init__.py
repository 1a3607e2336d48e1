"""Jupyter server extension and JupyterLab plugins of Samepage.

Importing this package imports nothing else: kernels and the course worker import it too.
"""

from __future__ import annotations


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the built JupyterLab plugins lie, relative to this package."""
    return [{"src": "labextension", "dest": "jupyter-samepage"}]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """The server half: an ExtensionApp, as only those are told when the server stops."""
    from labext.extension import SamepageExtension

    return [{"module": "labext", "app": SamepageExtension}]


def __getattr__(name: str) -> str:
    """`__version__`, looked up when somebody asks: reading metadata at import costs every start."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("jupyter-samepage")
