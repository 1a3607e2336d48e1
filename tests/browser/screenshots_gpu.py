"""The pictures of the GPU in docs/images: `python -m tests.browser.screenshots_gpu [light|dark]`.

No machine of ours that makes pictures has a GPU: the node agent is a stand-in, JupyterLab is real.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal, cast

from playwright.sync_api import Browser, expect

from tests.browser import chromium
from tests.browser.gpulab import GpuLab, forgotten, gpu_lab
from tests.browser.lab import Lab

IMAGES = Path(__file__).parents[2] / "docs" / "images"
Scheme = Literal["light", "dark"]


def shoot(running: Browser, server: GpuLab, scheme: Scheme) -> None:
    """The panel, opened from the status bar."""
    context = chromium.new_context(running, scheme)
    lab = Lab(context.new_page(), f"{server.demo.url}&reset")
    lab.theme("JupyterLab Dark" if scheme == "dark" else "JupyterLab Light")
    item = lab.page.locator(".jp-Samepage-gpuButton")
    expect(item).to_contain_text("free")
    item.click()
    expect(lab.page.locator(".jp-Samepage-myGpus")).to_contain_text("train.ipynb")
    lab.page.wait_for_timeout(1500)
    lab.page.screenshot(
        path=IMAGES / f"gpu-{scheme}.png",
        clip={"x": 0, "y": 250, "width": 1280, "height": 550},
        animations="disabled",
    )
    context.close()


def main(schemes: list[str]) -> int:
    """The exit status."""
    executable = chromium.find()
    if executable is None:
        print("No Chromium here. On Debian or Ubuntu: apt-get install chromium", file=sys.stderr)
        return 1
    with gpu_lab() as server, chromium.browser(executable) as running:
        server.agent.me = forgotten(
            server.notebook("train.ipynb"), server.notebook("plot.ipynb"), time.time()
        )
        for scheme in schemes or ["light", "dark"]:
            print(f"GPU, {scheme} ...", flush=True)
            shoot(running, server, cast(Scheme, scheme))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
