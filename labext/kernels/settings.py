"""Settings of aligned kernels, as traits of the provisioner (`c.SamepageProvisioner.*`)."""

import os
from pathlib import Path

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Bool, Float, List, Unicode, default

from .courses import courses
from .recipe import DEFAULT_MODULES
from .switch import ALIGNED_VARIABLE, is_off, is_on

PRELOAD_VARIABLE = "SAMEPAGE_PRELOAD"


class AlignmentSettings(LocalProvisioner):
    """The settings; see docs/kernels.md for what they do."""

    aligned = Bool(
        None,
        allow_none=True,
        help=(
            "Start IPython kernels aligned: with a fixed address layout and hash seed, and with "
            "the modules of `preload_modules` already loaded, so that nearly all of it is merged. "
            "None: where the node merges pages. Default: None, or what SAMEPAGE_ALIGNED says "
            "(0 or 1). A kernelspec decides for itself with "
            '"metadata": {"samepage": {"aligned": false}}.'
        ),
    ).tag(config=True)

    @default("aligned")
    def _default_aligned(self) -> bool | None:
        text = os.environ.get(ALIGNED_VARIABLE)
        return False if is_off(text) else True if is_on(text) else None

    preload_modules = List(
        Unicode(),
        help=(
            "Modules that aligned kernels have loaded before the student comes, in this order; "
            "those that are not installed are left out. Default: the words of SAMEPAGE_PRELOAD, "
            "else what the course manifest says for the course in whose folder the kernel starts, "
            f"else {', '.join(DEFAULT_MODULES)}."
        ),
    ).tag(config=True)

    @default("preload_modules")
    def _default_preload_modules(self) -> list[str]:
        text = os.environ.get(PRELOAD_VARIABLE)
        return list(DEFAULT_MODULES) if text is None else text.replace(",", " ").split()

    def follow_course(self, folder: str | Path | None) -> None:
        """Preload what the course of `folder` wants, where nobody set `preload_modules`.

        `folder` None: for a spare, whose folder is not known yet.
        """
        chosen = "preload_modules" in self._trait_values or PRELOAD_VARIABLE in os.environ
        wanted = None if chosen else courses.modules(folder)
        if wanted is not None:
            self.preload_modules = wanted

    preload_module_seconds = Float(
        20.0,
        min=0.1,
        help=(
            "Seconds the import of one preloaded module may take; a slower one is left out from "
            "then on, and the status says so. Default: 20."
        ),
    ).tag(config=True)

    preload_seconds = Float(
        40.0,
        min=0.1,
        help="Seconds the preload may take as a whole. Default: 40.",
    ).tag(config=True)

    preload_environment = List(
        Unicode(),
        help=(
            "Names (or patterns, such as HF_*) of more environment variables that preloaded "
            "modules need at their import. They should be the same for all students. Default: none."
        ),
    ).tag(config=True)

    layout_secret_file = Unicode(
        help=(
            "A file with a secret that moves the fixed address layout by an amount only its "
            "readers know; the same file for all who shall merge. Default: SAMEPAGE_LAYOUT_SECRET, "
            "else empty: the layout that Linux uses without randomisation."
        )
    ).tag(config=True)

    @default("layout_secret_file")
    def _default_layout_secret_file(self) -> str:
        return os.environ.get("SAMEPAGE_LAYOUT_SECRET", "")

    tidy_after_seconds = Float(
        60.0,
        min=0.0,
        help=(
            "Seconds without a cell after which an aligned kernel collects garbage and gives free "
            "memory back; 0: never. Default: 60."
        ),
    ).tag(config=True)

    arrays = Bool(
        True,
        help=(
            "Give NumPy's arrays of four pages (16 kB) and more pages of their own, so that equal "
            "arrays of different students merge, and use freed ones again until some seconds after "
            "the last cell. Default: True."
        ),
    ).tag(config=True)

    spare = Bool(
        True,
        help=(
            "Prepare one process per server, where its memory limit has room for it, and fork the "
            "kernels from it. Default: True."
        ),
    ).tag(config=True)

    spare_delay_seconds = Float(
        2.0,
        min=0.0,
        help=(
            "Seconds after the start of a kernel that could not be forked until a process for the "
            "next is prepared. Default: 2."
        ),
    ).tag(config=True)
