"""Made-up machines: programs on PATH, installed kits, a root folder."""

from __future__ import annotations

import os
from pathlib import Path

from serverproxy.host import Host


class Machine:
    """A machine of folders; `host()` looks at it and at nothing else."""

    def __init__(self, base: Path) -> None:
        self.root = base / "root"
        self.bin = base / "bin"
        self.home = base / "home"
        for folder in (self.root, self.bin, self.home):
            folder.mkdir()
        self.env: dict[str, str] = {"PATH": str(self.bin), "HOME": str(self.home)}

    def host(self) -> Host:
        return Host(env=self.env, root=self.root, uid=os.getuid())

    def program(self, path: Path, text: str = "#!/bin/sh\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def on_path(self, name: str, text: str = "#!/bin/sh\n") -> Path:
        return self.program(self.bin / name, text)

    def java(self, version: str, folder: str = "jvm", *, release: bool = True) -> Path:
        """A Java in its own folder, and a link to it on PATH."""
        home = self.root / folder
        if release:
            home.mkdir(parents=True, exist_ok=True)
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        program = self.program(
            home / "bin/java",
            "#!/bin/sh\n"
            f'echo run >> "{home}/runs"\n'
            'echo "Picked up JAVA_TOOL_OPTIONS: -Dx" >&2\n'
            f"""echo 'openjdk version "{version}" 2025-04-15' >&2\n""",
        )
        link = self.bin / "java"
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        return home

    def kit(
        self, folder: Path, version: str = "3.9.5", libraries: str = "server/target/lib"
    ) -> Path:
        """An OpenRefine, laid out as upstream's Linux kit unless told otherwise."""
        (folder / "webapp/WEB-INF").mkdir(parents=True)
        (folder / "webapp/WEB-INF/web.xml").write_text("<web-app/>")
        (folder / libraries).mkdir(parents=True)
        (folder / libraries / "jetty-server-10.0.1.jar").write_bytes(b"")
        (folder / libraries / f"openrefine-{version}-server.jar").write_bytes(b"")
        self.program(folder / "refine")
        return folder

    def distribution(self, text: str) -> None:
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "etc/os-release").write_text(text)
