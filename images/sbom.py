"""A bill of materials (CycloneDX 1.6, JSON) of an image: ``sbom.py NAME ROOT >sbom.cdx.json``.

Reads what the package managers wrote below ROOT, the image's file system: Debian's or Ubuntu's
packages, Python distributions, conda's packages, and the archives that applications.sh unpacked.
Equal images give equal files: the time is VERSION's commit (CREATED), the serial number comes from
the content.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

#: Folders below which a Python keeps its distributions.
_PYTHON = (
    "usr/lib/python3/dist-packages",
    "usr/local/lib/python3*/*-packages",
    "opt/jupyter/lib/python3*/site-packages",
    "opt/jupyterhub/lib/python3*/site-packages",
    "opt/conda/lib/python3*/site-packages",
    "opt/samepage",
    "samepage/site-*",
    "samepage/ours",
)
#: Written by images/singleuser/applications.sh: name, version, address and SHA-256 of an archive.
_ARCHIVES = "usr/share/doc/samepage/archives.tsv"
_MOST_LICENSE_CHARACTERS = 100


def debian_packages(root: Path) -> Iterator[Component]:
    """The packages that dpkg calls installed."""
    status = root / "var/lib/dpkg/status"
    if not status.exists():
        return
    release = _os_release(root)
    for stanza in status.read_text(encoding="utf-8").split("\n\n"):
        fields = HeaderParser().parsestr(stanza)
        if fields["Status"] != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        about = {"arch": fields["Architecture"], "distro": "-".join(release)}
        yield _component(
            name,
            version,
            PackageURL("deb", release[0], name, version, about),
            description=fields["Description"].partition("\n")[0],
        )


def python_distributions(root: Path) -> Iterator[Component]:
    """Distributions of pip and of other installers, in every Python of the image."""
    for pattern in _PYTHON:
        for folder in sorted(root.glob(pattern)):
            for found in distributions(path=[str(folder)]):
                name = found.metadata["Name"]
                if name:
                    normal = re.sub(r"[-_.]+", "-", name).lower()
                    yield _component(
                        name,
                        found.version,
                        PackageURL("pypi", None, normal, found.version),
                        license_text=_license(found),
                        description=found.metadata["Summary"],
                    )


def conda_packages(root: Path) -> Iterator[Component]:
    """Packages of a conda environment in /opt/conda."""
    for file in sorted(root.glob("opt/conda/conda-meta/*.json")):
        fields = json.loads(file.read_text(encoding="utf-8"))
        name, version = fields["name"], fields["version"]
        about = {"build": fields.get("build", ""), "subdir": fields.get("subdir", "")}
        component = _component(
            name,
            version,
            PackageURL("conda", None, name, version, about),
            license_text=fields.get("license"),
        )
        if fields.get("sha256"):
            component.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=fields["sha256"])]
        yield component


def archives(root: Path) -> Iterator[Component]:
    """Applications that came as an archive of their makers."""
    listed = root / _ARCHIVES
    if not listed.exists():
        return
    for line in listed.read_text(encoding="utf-8").splitlines():
        name, version, url, checksum = line.split("\t")
        found = _component(
            name, version, PackageURL("generic", None, name, version, {"download_url": url})
        )
        if checksum:
            found.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=checksum)]
        yield found


def bill(name: str, root: Path, *, version: str, revision: str, created: str) -> Bom:
    """All of it as one document. `created`: ISO 8601, or empty when unknown."""
    found: dict[str, Component] = {}
    for reader in (debian_packages, python_distributions, conda_packages, archives):
        for component in reader(root):
            found.setdefault(str(component.purl), component)
    content = "\n".join([name, version, revision, *sorted(found)])
    bom = Bom(
        components=found.values(),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"samepage {content}"),
    )
    bom.metadata.component = Component(
        name=f"samepage-{name}",
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref=f"samepage-{name}",
        licenses=[LicenseFactory().make_from_string("BSD-3-Clause")],
        properties=[Property(name="samepage:revision", value=revision)],
    )
    if created:
        bom.metadata.timestamp = datetime.fromisoformat(created)
    bom.register_dependency(bom.metadata.component, found.values())
    return bom


def _component(
    name: str,
    version: str,
    purl: PackageURL,
    *,
    license_text: str | None = None,
    description: str | None = None,
) -> Component:
    """`license_text`: an SPDX expression or what the packager wrote in its place."""
    licenses: list[License] = []
    if license_text:
        licenses = [LicenseFactory().make_from_string(license_text)]
    return Component(
        name=name,
        version=version,
        purl=purl,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        licenses=licenses,
        description=description or None,
    )


def _license(found: Distribution) -> str | None:
    """The expression (PEP 639), else the classifier's words, else a short License field."""
    metadata = found.metadata
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    words = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    text = " AND ".join(words) or str(metadata["License"] or "").strip()
    return text if 0 < len(text) <= _MOST_LICENSE_CHARACTERS and "\n" not in text else None


def _os_release(root: Path) -> tuple[str, str]:
    """ID and VERSION_ID, such as debian and 12."""
    text = (root / "usr/lib/os-release").read_text(encoding="utf-8")
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return fields.get("ID", "debian").strip('"'), fields.get("VERSION_ID", "").strip('"')


def main() -> int:
    """Write the document to standard output."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    bom = bill(
        sys.argv[1],
        Path(sys.argv[2]),
        version=os.environ.get("VERSION", "0"),
        revision=os.environ.get("REVISION", "unknown"),
        created=os.environ.get("CREATED", ""),
    )
    print(JsonV1Dot6(bom).output_as_string(indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
