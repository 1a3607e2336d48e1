"""The templates of a Jupyter server: aligned, preloaded, and ready for kernels to be forked."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jupyter_client.launcher import launch_kernel

from .aligned_process import AlignedProcess, NotAlignedError
from .recipe import Recipe
from .spare_policy import Spare, Surroundings, Verdict, wanted, wanted_for_kernel
from .template import Template

_FORK_SECONDS = 10.0


@dataclass(kw_only=True, eq=False)
class _Pending:
    """A template being prepared; once `done`, it is there, or why it could not be made."""

    recipe: Recipe
    done: threading.Event = field(default_factory=threading.Event)
    template: Template | None = None
    failed: NotAlignedError | None = None


class SpareKeeper:
    """One template for the next kernel, and those whose kernels still run.

    Nothing is kept until `open` was called (the server extension does): a program that starts one
    kernel by jupyter_client and ends has no use for another. `look` tells what the policy needs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: With the time since when each is ready; the newest comes last.
        self._templates: dict[Template, float] = {}
        self._pending: _Pending | None = None
        self._planned = False
        self._look: Callable[[], Surroundings] | None = None
        self._generation = 0
        self.why = "no kernel has been started yet"

    def open(self, look: Callable[[], Surroundings]) -> None:
        """Keep templates from now on."""
        self._look = look

    def close(self) -> None:
        """Keep none. One whose kernels still run ends after them, or with this server."""
        with self._lock:
            self._look = None
            self._generation += 1
            self._planned = False
            templates = list(self._templates)
            self._templates.clear()
        for template in templates:
            if template.alive() and not template.let_go():
                threading.Thread(target=template.retire, daemon=True).start()
            else:
                template.discard()

    @property
    def ready(self) -> bool:
        """Whether a kernel could be had at once."""
        with self._lock:
            return any(_usable(template) for template in self._templates)

    def take(self, recipe: Recipe) -> tuple[AlignedProcess, bool] | None:
        """A kernel of this recipe, to be assigned, and whether it was ready before it was wanted.

        None when the kernel has to be started for itself. Blocks for as long as a template takes
        to prepare: the kernel's own start would take as long, and the next one is quick then.
        Errors: NotAlignedError when the preparation failed, as the kernel's own would.
        """
        template = self._find(recipe)
        kernel = None if template is None else self._fork(template)
        if kernel is not None:
            return kernel, True
        with self._lock:
            pending, mine = self._pending, False
            if pending is None and self._allowed(wanted_for_kernel):
                pending, mine = self._begin(recipe), True
        if pending is None or pending.recipe != recipe:
            return None
        if mine:
            self._make(pending)
        pending.done.wait()
        if pending.failed is not None:
            raise pending.failed
        kernel = None if pending.template is None else self._fork(pending.template)
        return None if kernel is None else (kernel, False)

    def prepare(self, recipe: Recipe, *, delay: float) -> None:
        """Have a template of this recipe soon, after `delay` seconds, if the policy wants one."""
        if self._find(recipe) is not None:
            return
        with self._lock:
            if self._look is None or self._planned or self._pending is not None:
                return
            self._planned = True
            generation = self._generation
        threading.Thread(
            target=self._prepare, args=(recipe, delay, generation), daemon=True
        ).start()

    def review(self) -> None:
        """Throw templates away that are no longer worth their memory. Cheap; call now and then."""
        look = self._look
        with self._lock:
            templates = list(self._templates.items())
        if look is None or not templates:
            return
        seen = look()
        newest = templates[-1][0]
        leaving = []
        for template, since in templates:
            age = self._clock() - since
            verdict = wanted(seen, Spare(age_seconds=age, pid=template.process.pid))
            if template is newest:
                self.why = verdict.why
            if not (template is newest and verdict.keep and template.alive()):
                leaving.append(template)
        self._throw_away(leaving)

    def _find(self, recipe: Recipe) -> Template | None:
        with self._lock:
            for template in reversed(self._templates):
                if recipe in template.recipes and _usable(template):
                    return template
        return None

    def _fork(self, template: Template) -> AlignedProcess | None:
        if template.ready is None or template.ready.unforkable is not None:
            # It can only become a kernel itself, and only one caller may have it.
            with self._lock:
                return template if self._templates.pop(template, None) is not None else None
        try:
            return template.fork(time.monotonic() + _FORK_SECONDS)
        except NotAlignedError as err:
            self.why = f"no kernel could be forked: {err.reason}"
            self._throw_away([template])
            return None

    def _allowed(self, policy: Callable[[Surroundings, None], Verdict]) -> bool:
        look = self._look
        if look is None:
            return False
        verdict = policy(look(), None)
        self.why = verdict.why
        return verdict.keep

    def _begin(self, recipe: Recipe) -> _Pending:
        self._pending = _Pending(recipe=recipe)
        return self._pending

    def _prepare(self, recipe: Recipe, delay: float, generation: int) -> None:
        try:
            if delay:
                threading.Event().wait(delay)
            if self._find(recipe) is not None:
                return
            with self._lock:
                if self._generation != generation or self._pending is not None:
                    return
                if not self._allowed(wanted):
                    return
                pending = self._begin(recipe)
        finally:
            if self._generation == generation:
                self._planned = False
        self._make(pending)

    def _make(self, pending: _Pending) -> None:
        """Prepare it. Errors are in `pending`, for whoever waits."""
        generation, recipe = self._generation, pending.recipe
        template: Template | None = None
        try:
            template = Template.start(recipe, launch_kernel, {})
            template.wait_ready(time.monotonic() + recipe.longest_seconds)
            with self._lock:
                if self._generation != generation:
                    raise NotAlignedError("the server ends")
                older = list(self._templates)
                self._templates[template] = self._clock()
                pending.template, template = template, None
            self._throw_away(older)
        except NotAlignedError as err:
            pending.failed = err
        except OSError as err:
            pending.failed = NotAlignedError(str(err))
        finally:
            if pending.failed is not None:
                self.why = f"preparing one failed: {pending.failed.reason}"
            if template is not None:
                template.discard()
            with self._lock:
                self._pending = None
            pending.done.set()

    def _throw_away(self, templates: Iterable[Template]) -> None:
        """End those that no kernel runs from; the others are still good for more kernels."""
        for template in templates:
            with self._lock:
                if template not in self._templates:
                    continue
                if template.alive() and not template.let_go():
                    continue
                del self._templates[template]
            threading.Thread(target=template.discard, daemon=True).start()


def _usable(template: Template) -> bool:
    return template.alive() and not template.spent


#: One per process, as the ledger.
keeper = SpareKeeper()
