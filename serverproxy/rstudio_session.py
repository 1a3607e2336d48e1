"""What RStudio's R sessions are started with: a wrapper of rsession, and a start-up file of R.

rserver gives rsession a bare environment (PATH, LANG, HOME and few more: rstudio/rstudio
`src/cpp/core/system/PosixSystem.cpp`, runProcess), so what a session shall know has to be set by a
wrapper, as Open OnDemand does it with `--rsession-path`. The wrapper ends in exec: the process is
rsession itself.

The start-up file is R's site profile (`R_PROFILE`, ?Startup) for this session only. It puts
R_PROFILE back, sets up the opening of files, and then runs the profile R would have run, so the
machine's Rprofile.site and the user's .Rprofile work as ever. Files are opened
- when a session has started or come back: hook `rstudio.sessionInit` (rstudio/rstudio
  `src/cpp/session/SessionRHooks.hpp`; it runs a second after the page is there),
- at once in one that runs: RStudio serves R's own HTTP handlers below /custom/
  (`src/cpp/session/modules/SessionHelp.cpp`), and ours looks into the folder of wishes,
- and after the present command when R is busy: a task callback does the same.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from serverproxy.preflight.executable import is_executable

WRAPPER = "rsession.sh"
HANDLER = "samepage"
_STARTUP = "startup.R"
_FIRST = "first"


class SessionFolder:
    """The files of one start, in its private folder (mode 0700).

    open/: one file for each wish, with a path in URL quoting. session: number of the R process that
    looks at the wishes. first: read once by the wrapper, so only by the first session.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wishes = folder / "open"

    @property
    def wrapper(self) -> Path:
        """For `--rsession-path`."""
        return self.folder / WRAPPER

    def write(
        self, rsession: Path, *, first_folder: Path | None, environment: Mapping[str, str]
    ) -> bool:
        """Write everything; whether the wrapper can be used. OSError when the disk does not allow.

        first_folder: working folder of the first session, None: RStudio's own choice. environment:
        what every session gets.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.wishes.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "session").unlink(missing_ok=True)
        startup = self.folder / _STARTUP
        _write(startup, startup_text(self.folder))
        _write(
            self.wrapper,
            wrapper_text(rsession, startup, self.folder / _FIRST, environment),
            mode=0o700,
        )
        first = self.folder / _FIRST
        if first_folder is None:
            first.unlink(missing_ok=True)
        else:
            # Sessions of the open source server are of no project unless somebody chose one, and
            # then this decides (`src/cpp/session/SessionDirs.cpp`).
            _write(first, f"RS_INITIAL_WD={shlex.quote(str(first_folder))}\nexport RS_INITIAL_WD\n")
        return is_executable(self.wrapper)

    def wish(self, file: Path) -> Path:
        """Ask for a file to be opened; gives the wish, which R removes when it takes it."""
        name = secrets.token_hex(8)
        hidden = self.wishes / f".{name}"
        _write(hidden, quote(os.fsencode(file), safe="/") + "\n")
        return hidden.rename(self.wishes / name)

    def session_runs(self, proc: Path = Path("/proc")) -> bool:
        """Whether there is an R process that looks at the wishes."""
        try:
            number = (self.folder / "session").read_text().strip()
            return number.isdigit() and (proc / number).stat().st_uid == os.getuid()
        except OSError:
            return False


def wrapper_text(rsession: Path, startup: Path, first: Path, environment: Mapping[str, str]) -> str:
    """A POSIX shell script in place of rsession. Pure."""
    lines = [
        "#!/bin/sh",
        "# Written by Samepage for one start of RStudio; it is removed when RStudio stops.",
        f"first={shlex.quote(str(first))}",
        # Whoever renames it has it: no second session reads it.
        'if mv "$first" "$first.$$" 2>/dev/null; then . "$first.$$"; rm -f "$first.$$"; fi',
        'SAMEPAGE_R_PROFILE="${R_PROFILE-}"',
        f"R_PROFILE={shlex.quote(str(startup))}",
        "export SAMEPAGE_R_PROFILE R_PROFILE",
    ]
    for name, value in environment.items():
        lines += [f"{name}={shlex.quote(value)}", f"export {name}"]
    lines.append(f'exec {shlex.quote(str(rsession))} "$@"')
    return "\n".join(lines) + "\n"


def startup_text(folder: Path) -> str:
    """The start-up file, R 3.3 or newer. Pure."""
    return _STARTUP_R.replace("@FOLDER@", r_string(str(folder))).replace("@HANDLER@", HANDLER)


def r_string(text: str) -> str:
    """The text as a literal of R, ASCII only."""
    special = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    parts = []
    for character in text:
        if character in special:
            parts.append(special[character])
        elif " " <= character <= "~":
            parts.append(character)
        else:
            parts.append(f"\\U{{{ord(character):x}}}")
    return '"' + "".join(parts) + '"'


def _write(file: Path, text: str, mode: int = 0o600) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


_STARTUP_R = r"""# Written by Samepage for one start of RStudio; it is removed when RStudio stops.
local({
  folder <- @FOLDER@
  outside <- parent.env(environment())
  profile <- Sys.getenv("SAMEPAGE_R_PROFILE")
  # What R starts from here on gets the environment it would have had.
  Sys.unsetenv("SAMEPAGE_R_PROFILE")
  if (nzchar(profile)) Sys.setenv(R_PROFILE = profile) else Sys.unsetenv("R_PROFILE")

  show <- function(path) {
    api <- function(name) get(paste0(".rs.api.", name), envir = globalenv(), mode = "function")
    if (!grepl("\\.Rproj$", path, ignore.case = TRUE)) {
      api("navigateToFile")(path)
    } else {
      current <- api("getActiveProject")()
      here <- normalizePath(dirname(path), mustWork = FALSE)
      if (is.null(current) || !identical(normalizePath(current, mustWork = FALSE), here)) {
        api("openProject")(path)
      }
    }
  }

  take <- function() {
    for (wish in list.files(file.path(folder, "open"), full.names = TRUE)) {
      path <- utils::URLdecode(readLines(wish, n = 1L, warn = FALSE))
      Encoding(path) <- "UTF-8"
      unlink(wish)
      tryCatch(invisible(show(path)), error = function(problem) {
        message("Samepage could not open ", path, ": ", conditionMessage(problem))
      })
    }
  }

  begin <- function() {
    writeLines(as.character(Sys.getpid()), file.path(folder, "session"))
    assign("@HANDLER@", function(path, query, body, ...) {
      take()
      list("taken\n", "text/plain")
    }, envir = get(".httpd.handlers.env", envir = asNamespace("tools")))
    addTaskCallback(function(...) {
      try(take(), silent = TRUE)
      TRUE
    }, name = "@HANDLER@")
    take()
  }

  setHook("rstudio.sessionInit", function(...) {
    if (dir.exists(folder)) try(begin(), silent = TRUE)
  }, action = "append")

  # The site profile of this machine, as R would have found it (?Startup).
  if (!nzchar(profile)) {
    etc <- R.home("etc")
    profile <- file.path(c(file.path(etc, .Platform$r_arch), etc), "Rprofile.site")
  }
  profile <- profile[file.exists(profile)]
  if (length(profile)) {
    for (expression in parse(profile[[1L]], keep.source = FALSE)) eval(expression, outside)
  }
})
"""
