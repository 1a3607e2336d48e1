"""pytest-jupyter's fixtures, for modules that import them.

As a plugin, those that apply by themselves would reach every test of the project. The server's
configuration is not among them: each module gives its own.
"""

from pytest_jupyter.jupyter_server import *  # noqa: F403 - what they need of each other comes too

del jp_server_config  # noqa: F821 - it came with the line above
