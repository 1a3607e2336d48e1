"""Script of an aligned kernel: ``python [OPTIONS] start.py DESCRIPTOR PLAN``; see the package.

`DESCRIPTOR` is the socket to the provisioner, `PLAN` a JSON object (`life.Plan`). Nothing but
this folder's own files may be looked for before `sys.path` is as without a script: importing
lists every folder on the path, and a listing that differs by one name shifts the heap.
"""

import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]


def _life():  # type: ignore[no-untyped-def]  # `Any` would need an import before the path is right
    import importlib.util

    folder = __file__.rpartition("/")[0]
    name = "_samepage_aligned"
    file = folder + "/__init__.py"
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[folder])
    package = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
    sys.modules[name] = package
    spec.loader.exec_module(package)  # type: ignore[union-attr]  # a source file has a loader
    return importlib.import_module(name + ".life")


if __name__ == "__main__":
    _life().main(int(sys.argv[1]), sys.argv[2])  # type: ignore[no-untyped-call]  # as above
