"""A spare kernel: aligned, preloaded, and nobody's until the next notebook is opened."""

import threading
import time
from collections.abc import Callable

from jupyter_client.launcher import launch_kernel

from .aligned_process import AlignedProcess, NotAlignedError
from .recipe import Recipe
from .spare_policy import Spare, Surroundings, wanted


class SpareKeeper:
    """At most one spare per server; prepared and thrown away on threads of its own.

    Nothing is kept until `open` was called (the server extension does): a program that starts one
    kernel by jupyter_client and ends has no use for another. `look` tells what the policy needs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spare: AlignedProcess | None = None
        self._since = 0.0
        self._preparing = False
        self._look: Callable[[], Surroundings] | None = None
        self._generation = 0
        self.why = "no kernel has been started yet"

    def open(self, look: Callable[[], Surroundings]) -> None:
        """Keep spares from now on."""
        self._look = look

    def close(self) -> None:
        """Throw the spare away and keep none."""
        with self._lock:
            self._look = None
            self._generation += 1
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.discard()

    @property
    def ready(self) -> bool:
        """Whether a spare is waiting."""
        spare = self._spare
        return spare is not None and spare.alive()

    def take(self, recipe: Recipe) -> AlignedProcess | None:
        """The spare, when there is one of this recipe; it is the caller's from now on."""
        with self._lock:
            spare = self._spare
            if spare is None:
                return None
            self._spare = None
        if spare.recipe == recipe and spare.alive():
            return spare
        threading.Thread(target=spare.discard, daemon=True).start()
        return None

    def prepare(self, recipe: Recipe, *, delay: float) -> None:
        """Have a spare of this recipe soon, after `delay` seconds, if the policy wants one."""
        with self._lock:
            if self._look is None or self._preparing or self._spare is not None:
                return
            self._preparing = True
            generation = self._generation
        threading.Thread(
            target=self._prepare, args=(recipe, delay, generation), daemon=True
        ).start()

    def review(self) -> None:
        """Throw a spare away that is no longer worth its memory. Cheap; call now and then."""
        look = self._look
        with self._lock:
            spare = self._spare
        if look is None or spare is None:
            return
        age = self._clock() - self._since
        verdict = wanted(look(), Spare(age_seconds=age, pid=spare.process.pid))
        self.why = verdict.why
        if verdict.keep and spare.alive():
            return
        with self._lock:
            if self._spare is spare:
                self._spare = None
            else:
                return
        threading.Thread(target=spare.discard, daemon=True).start()

    def _prepare(self, recipe: Recipe, delay: float, generation: int) -> None:
        try:
            if delay:
                threading.Event().wait(delay)
            look = self._look
            if look is None:
                return
            verdict = wanted(look(), None)
            self.why = verdict.why
            if not verdict.keep:
                return
            process = AlignedProcess.start(recipe, launch_kernel, {})
            try:
                process.wait_ready(time.monotonic() + 3 * recipe.total_seconds)
            except NotAlignedError as err:
                self.why = f"preparing one failed: {err.reason}"
                process.discard()
                return
            except BaseException:
                process.discard()
                raise
            with self._lock:
                if self._generation == generation and self._spare is None:
                    self._spare, self._since = process, self._clock()
                    return
            process.discard()
        except OSError as err:
            self.why = f"preparing one failed: {err}"
        finally:
            self._preparing = False


#: One per process, as the ledger.
keeper = SpareKeeper()
