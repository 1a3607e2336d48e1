"""The environment in which aligned kernels preload: the same for every student. Pure.

What every student of an image has in common and what modules read at import is carried over;
everything else (names, tokens, HOME, paths) comes only after the preload. A carried variable that
differs between students costs their alignment, never their behaviour.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

#: Read by the dynamic loader, libc, Python or native libraries before a student's code runs.
CARRIED = (
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "LD_*",
    "PYTHON*",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    "OMP_*",
    "GOMP_*",
    "KMP_*",
    "MKL_*",
    "BLIS_*",
    "NUMEXPR_*",
    "NPY_*",
    "NUMBA_*",
    "SKLEARN_*",
    "SCIPY_*",
    "CUDA_*",
    "TORCH_*",
    "TF_*",
    "PYDEVD_*",
    "DEBUGPY_*",
    "JUPYTER_PLATFORM_DIRS",
)
#: These would bring a student's own folders or files in; they are applied after the preload.
_LATER = frozenset(
    {
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONUSERBASE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONEXECUTABLE",
        "PYTHONINSPECT",
        "PYTHON_HISTORY",
    }
)
#: With these Python's start is nothing like another's; such a kernel starts as stock.
UNFIT = ("PYTHONINSPECT", "PYTHONTRACEMALLOC", "PYTHONMALLOC", "PYTHONPROFILEIMPORTTIME")
_HASH_SEED = "1802723700"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def unfit(environment: Mapping[str, str]) -> str | None:
    """Why a kernel with this environment cannot start aligned; None when it can."""
    for name in UNFIT:
        if environment.get(name):
            return f"{name} is set"
    return None


def common_environment(
    environment: Mapping[str, str], *, cache_folder: str, also: tuple[str, ...] = ()
) -> dict[str, str]:
    """What to start with in place of `environment`; `also`: more names or patterns to carry.

    Big arrays get mappings of their own (they stay page-aligned, and freed memory goes back) and
    all threads share one malloc arena, unless the image has settings of its own.
    """
    carried = {
        name: value
        for name, value in environment.items()
        if name not in _LATER and any(fnmatchcase(name, wanted) for wanted in (*CARRIED, *also))
    }
    if not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in carried):
        carried |= {
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": "262144",
            "MALLOC_TRIM_THRESHOLD_": "131072",
        }
    carried.setdefault("PYTHONHASHSEED", _HASH_SEED)
    if carried["PYTHONHASHSEED"] in {"", "random"}:
        carried["PYTHONHASHSEED"] = _HASH_SEED
    fixed = {
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": cache_folder,
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": _SYSTEM_PATH,
    }
    return dict(sorted((carried | fixed).items()))
