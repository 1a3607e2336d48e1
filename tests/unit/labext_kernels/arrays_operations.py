"""What NumPy computes, as digests by name; run as a program, with or without our memory for it.

``python arrays_operations.py LIBRARY FOLDER``: LIBRARY may be "" for NumPy's own memory; FOLDER is
an empty one for files. Prints JSON: `handler`, `digests`, `figures`.
"""

import hashlib
import json
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from labext.kernels.aligned import arrays

#: Beyond what is kept at first.
BIG = 24 << 20


def digest(value: Any) -> str:
    array = np.asarray(value)
    content = pickle.dumps(array.tolist()) if array.dtype.hasobject else array.tobytes()
    return f"{array.dtype} {array.shape} {hashlib.sha256(content).hexdigest()[:16]}"


def sizes_changed_in_place() -> Iterator[Any]:
    random = np.random.default_rng(1)
    array = np.arange(7)
    for step in range(200):
        size = int(random.integers(1, 40_000))
        array.resize(size, refcheck=False)
        array[:: max(size // 50, 1)] += step
        yield array.sum()
    yield array
    two = np.ones((300, 300))
    two.resize((900, 400), refcheck=False)
    yield two
    two.resize((3, 2), refcheck=False)
    yield two


def read_and_made() -> Iterator[Any]:
    source = np.random.default_rng(2).random(50_000)
    yield np.resize(source, 170_000)
    yield np.fromiter((each * 0.5 for each in range(100_000)), dtype=float)
    yield np.fromiter((each for each in range(70_000)), dtype=np.int32)
    yield np.frombuffer(source.tobytes()).copy()
    yield np.fromstring(" ".join(map(str, range(20_000))), sep=" ")
    yield np.loadtxt([f"{each} {each / 7}" for each in range(9_000)])
    yield np.genfromtxt([f"{each},{each / 7}" for each in range(3_000)], delimiter=",")
    yield np.array(list(range(60_000)), dtype=float)
    yield np.array([str(each) for each in range(9_000)])
    yield np.concatenate([source, source[::2], np.zeros(3)])
    yield np.vstack([source[:20_000], source[20_000:40_000]])
    yield np.tile(source[:3_000], 9)
    yield np.pad(source, 4_000)
    yield source.astype(np.float32).astype(np.int64)
    yield np.asfortranarray(source.reshape(500, 100))


def kinds() -> Iterator[Any]:
    table = np.zeros(6_000, dtype=[("number", "i4"), ("value", "f8"), ("word", "U5")])
    table["number"] = np.arange(6_000)[::-1]
    table["word"] = "abc"
    yield np.sort(table, order="number")
    words = np.array([str(each % 91) for each in range(20_000)], dtype=object)
    yield np.sort(words)
    yield words.astype("U8")
    yield np.concatenate([words, words])
    ma: Any = np.ma
    masked = ma.masked_less(np.random.default_rng(3).random(40_000), 0.5)
    yield masked.filled(0)
    yield ma.concatenate([masked, masked]).compressed()
    yield np.arange("2001-01-01", "2061-01-01", dtype="datetime64[D]")
    yield np.random.default_rng(3).random(20_000) + 1j


def computed() -> Iterator[Any]:
    random = np.random.default_rng(4)
    one, two = random.random(60_000), random.random(60_000)
    square = random.random((150, 150))
    for _ in range(20):
        yield (one * two + one / 3).sum()
    for function in (np.sort, np.argsort, np.cumsum, np.unique, np.diff, np.gradient, np.sqrt):
        yield function(one)
    yield np.where(one > two, one, two)
    yield one[one > 0.5]
    yield np.nonzero(one > 0.3)[0]
    yield np.histogram(one, 5_000)[0]
    yield np.repeat(one, 3)
    yield np.fft.fft(one).round(6)
    yield np.linalg.solve(square + np.eye(150) * 50, square).round(9)
    yield (square @ square).round(9)
    yield np.einsum("ij,kj->ik", square, square).round(9)
    yield np.add.outer(one[:200], two[:200])
    yield np.percentile(one, [5, 50, 95])
    yield np.convolve(one[:5_000], two[:3_000]).round(9)
    mixed = one.copy()
    random.shuffle(mixed)
    yield mixed
    big = np.arange(BIG // 8, dtype=float)
    yield big
    yield big + big[::-1]


def zeros_again() -> Iterator[Any]:
    """Whether memory that held something is zero."""
    for size in (2_048, 2_500, 9_999, 50_000, 700_000):
        for make in (np.zeros, lambda count: np.zeros_like(np.ones(count))):
            held = [np.full(size, 7.0) for _ in range(4)]
            del held
            given: list[Any] = [make(size) for _ in range(4)]
            yield [int(np.count_nonzero(each)) for each in given]


def files(folder: Path) -> Iterator[Any]:
    array = np.random.default_rng(5).random((300, 200))
    for protocol in range(6):
        yield pickle.loads(pickle.dumps(array, protocol))
    np.save(folder / "one.npy", array)
    yield np.load(folder / "one.npy")
    yield np.load(folder / "one.npy", mmap_mode="r").copy()
    np.savez_compressed(folder / "more.npz", array=array, other=array.T)
    with np.load(folder / "more.npz") as stored:
        yield stored["other"]
    mapped = np.memmap(folder / "mapped", dtype=float, mode="w+", shape=(40_000,))
    mapped[:] = 3
    yield mapped + 1
    array.tofile(folder / "raw")
    yield np.fromfile(folder / "raw")


def in_threads() -> Iterator[Any]:
    """Arrays that are made in one thread and freed in another."""

    def work(number: int) -> Any:
        return np.cumsum(np.full(30_000 + number, number))

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(work, range(40)))
        yield np.concatenate(made)
        own = [np.full(40_000, float(each)) for each in range(40)]
        totals = []
        while own:
            totals.append(pool.submit(np.sum, own.pop()))
        yield [each.result() for each in totals]


def main() -> None:
    library, folder = sys.argv[1], Path(sys.argv[2])
    given = arrays.install(sys.modules, Path(library)) if library else None
    parts: dict[str, Iterator[Any]] = {
        "sizes changed in place": sizes_changed_in_place(),
        "read and made": read_and_made(),
        "kinds": kinds(),
        "computed": computed(),
        "zeros again": zeros_again(),
        "files": files(folder),
        "in threads": in_threads(),
    }
    digests = {name: [digest(each) for each in part] for name, part in parts.items()}
    core: Any = np._core if hasattr(np, "_core") else getattr(np, "core")  # noqa: B009 - NumPy 1
    answer = {
        "handler": core.multiarray.get_handler_name(),
        "digests": digests,
        "figures": given.figures() if given else None,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
