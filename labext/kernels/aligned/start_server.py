"""Script of an aligned Jupyter server: ``python [OPTIONS] start_server.py PLAN``.

As `start`, for `server`; see there why it looks for nothing else.
"""

import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]


def _server():  # type: ignore[no-untyped-def]  # `Any` would need an import before the path is right
    import importlib.util

    folder = __file__.rpartition("/")[0]
    name = "_samepage_aligned"
    file = folder + "/__init__.py"
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[folder])
    package = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
    sys.modules[name] = package
    spec.loader.exec_module(package)  # type: ignore[union-attr]  # a source file has a loader
    return importlib.import_module(name + ".server")


if __name__ == "__main__":
    _server().main(sys.argv[1])  # type: ignore[no-untyped-call]  # as above
