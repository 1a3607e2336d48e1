"""The images' bill of materials, from what package managers write."""

from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from images.sbom import bill

DPKG = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b13
Description: GNU Bourne Again SHell
 Bash is a shell.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
Description: removed
"""
CREATED = "2026-11-22T13:00:00+00:00"


def a_root(folder: Path) -> Path:
    """The file system of an image, as far as the bill reads it."""
    files = {
        "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status": DPKG,
        "opt/jupyter/lib/python3.11/site-packages/Some_Thing-1.2.dist-info/METADATA": (
            "Metadata-Version: 2.4\nName: Some.Thing\nVersion: 1.2\nSummary: A thing\n"
            "License-Expression: MIT OR Apache-2.0\n"
        ),
        "opt/samepage/old-3.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: old\nVersion: 3\n"
            "Classifier: License :: OSI Approved :: BSD License\n"
        ),
        "opt/conda/conda-meta/numpy-2-0.json": json.dumps(
            {"name": "numpy", "version": "2", "build": "0", "subdir": "linux-64",
             "license": "BSD-3-Clause", "sha256": "a" * 64}
        ),
        "usr/share/doc/samepage/archives.tsv": (
            f"openrefine\t3.10.1\thttps://example.org/o.tar.gz\t{'b' * 64}\n"
        ),
    }  # fmt: skip
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return folder


def written(root: Path) -> str:
    made = bill("singleuser", root, version="0.1.0", revision="abc", created=CREATED)
    return JsonV1Dot6(made).output_as_string(indent=1)


def test_every_package_manager_is_read_and_the_schema_holds(tmp_path: Path) -> None:
    text = written(a_root(tmp_path))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {each["purl"]: each for each in json.loads(text)["components"]}
    assert set(found) == {
        "pkg:deb/debian/bash@5.2.15-2%2Bb13?arch=amd64&distro=debian-12",
        "pkg:pypi/some-thing@1.2",
        "pkg:pypi/old@3",
        "pkg:conda/numpy@2?build=0&subdir=linux-64",
        "pkg:generic/openrefine@3.10.1?download_url=https://example.org/o.tar.gz",
    }
    assert found["pkg:pypi/some-thing@1.2"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    (archive,) = (each for purl, each in found.items() if "openrefine" in purl)
    assert archive["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]


def test_equal_images_give_equal_bills(tmp_path: Path) -> None:
    roots = [a_root(tmp_path / name) for name in ("one", "two")]
    assert written(roots[0]) == written(roots[1])
    (roots[1] / "usr/share/doc/samepage/archives.tsv").write_text("")
    assert written(roots[0]) != written(roots[1])


def test_an_image_without_packages_has_a_bill_too(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.loads(text)["metadata"]["component"]["name"] == "samepage-singleuser"
