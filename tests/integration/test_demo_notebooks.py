"""The course's notebooks: valid, without outputs, and running top to bottom, solutions too."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from demo import dataset
from demo.course_repository import course_files

NOTEBOOKS = [path for path in course_files() if path.suffix == ".ipynb"]
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)```", re.DOTALL)
PLACEHOLDER = "# Your code here"
STATIONS = 8

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run, on the first eight stations."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "data").mkdir()
    dataset.write(folder / "data", stations=STATIONS)
    return folder


def read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_five() -> None:
    assert [path.name for path in NOTEBOOKS] == [
        "01-first-steps.ipynb",
        "02-numpy.ipynb",
        "03-pandas.ipynb",
        "04-matplotlib.ipynb",
        "05-scikit-learn.ipynb",
    ]


@by_name
def test_stored_as_it_should_be(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    # As JupyterLab saves it: a student's first save must not look like a change of every line.
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert path.read_text(encoding="utf-8") == text


@by_name
def test_every_exercise_has_room_and_a_solution(path: Path) -> None:
    cells = read(path)["cells"]
    rooms = [number for number, cell in enumerate(cells) if source(cell).startswith(PLACEHOLDER)]
    assert len(rooms) >= 2
    for number in rooms:
        assert "✏️ Exercise" in source(cells[number - 1])
        assert SOLUTION.search(source(cells[number + 1]))


@by_name
def test_links_lead_somewhere(path: Path) -> None:
    for cell in read(path)["cells"]:
        for target in re.findall(r"\]\(([^)]+)\)", source(cell)):
            assert (path.parent / target).exists(), target


@by_name
def test_runs_top_to_bottom_with_every_solution(path: Path, folder: Path) -> None:
    notebook = read(path)
    cells = notebook["cells"]
    for number, cell in enumerate(cells):
        solution = SOLUTION.search(source(cell))
        if solution:
            cells[number - 1]["source"] = solution[1]
    begun = cpu_seconds()
    done = execute(notebook, folder)
    assert cpu_seconds() - begun < 60
    printed = [
        output
        for cell in done["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
    ]
    assert printed
    for output in printed:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]


def cpu_seconds() -> float:
    """Of ended children: unlike wall time, the same whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def execute(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run it with nbclient, in a process of its own: its event loop stays out of this one."""
    program = (
        "import json, sys, nbformat\n"
        "from nbclient import NotebookClient\n"
        "notebook = nbformat.reads(sys.stdin.read(), as_version=4)\n"
        "client = NotebookClient(notebook, timeout=60, kernel_name='python3',\n"
        "    resources={'metadata': {'path': '.'}})\n"
        "json.dump(client.execute(), sys.stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        # OpenMP threads that wait for each other crawl on a machine with other work to do.
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        input=json.dumps(notebook),
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result
