"""What a student sees of the GPU, and how they give it back, in a real JupyterLab."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from tests.browser.gpulab import GpuLab, forgotten, gpu_lab, out_of_date
from tests.browser.lab import Lab
from tests.browser.stage import Stage, stage_of
from tests.standins.gpu_agent import card, me, process, untold

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("gpu-lab"),
    pytest.mark.timeout(300),
]

AXE = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage[GpuLab]]:
    with stage_of(gpu_lab) as built:
        yield built


@pytest.fixture
def server(stage: Stage[GpuLab], request: pytest.FixtureRequest) -> GpuLab:
    server = stage.enter(request)
    server.clear()
    return server


class Student:
    """JupyterLab's page, in the words of these tests."""

    def __init__(self, page: Page, server: GpuLab) -> None:
        self.lab = Lab(page, f"{server.demo.url}&reset")
        self.page = page
        self.item = page.locator(".jp-Samepage-gpuButton")
        self.panel = page.locator(".jp-Samepage-statusPanel")
        self.section = page.locator(".jp-Samepage-myGpus")
        self.dialog = page.locator(".jp-Dialog")
        # The launcher takes the focus when it is ready, from whatever has it then.
        expect(page.locator(".jp-Launcher")).to_be_focused(timeout=30_000)

    def look(self) -> Locator:
        """The panel, opened with the keyboard alone; what it shows is asked for anew."""
        expect(self.panel).to_have_count(0)
        for _ in range(5):
            self.item.focus()
            self.page.keyboard.press("Enter")
            try:
                self.panel.wait_for(timeout=5_000)
                break
            except TimeoutError:
                continue  # a page that is still loading took the focus in between
        expect(self.section).to_be_visible()
        return self.section

    def leave(self) -> None:
        """Close the panel by the keyboard."""
        self.panel.focus()
        self.page.keyboard.press("Escape")
        expect(self.panel).to_have_count(0)
        expect(self.item).to_be_focused()


def violations(page: Page) -> list[str]:
    """What axe-core has to say against the panel and its button."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "async () => (await axe.run('.jp-Samepage-statusPanel, .jp-Samepage-gpuButton')).violations"
    )
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


def test_a_forgotten_notebook_is_named_and_freed_by_keyboard(page: Page, server: GpuLab) -> None:
    train, plot = server.notebook("train.ipynb"), server.notebook("plot.ipynb")
    server.agent.me = forgotten(train, plot, time.time())
    student = Student(page, server)
    expect(student.item).to_have_text("GPU 10.2 GiB · 3.0 GiB free")
    sentence = "The kernel of train.ipynb has held 9.0 GiB of the GPU idle for 2 h 1 min."
    expect(student.item).to_have_attribute("aria-label", re.compile(re.escape(sentence)))
    note = page.locator(".jp-toastContainer, .Toastify").get_by_text(sentence)
    expect(note.first).to_be_visible()
    section = student.look()
    expect(section).to_contain_text(sentence)
    expect(section).to_contain_text("torch.cuda.empty_cache()")
    expect(section).to_contain_text("you and 2 others")
    expect(section).to_contain_text("plot.ipynb 1.2 GiB")
    expect(section).to_contain_text("92 % · 81 % · 34 %")
    assert violations(page) == []
    section.get_by_role("button", name="Free the memory…").focus()
    page.keyboard.press("Enter")
    expect(student.dialog).to_contain_text("Ending the kernel of train.ipynb frees 9.0 GiB")
    expect(student.dialog).to_contain_text("Its variables are lost")
    # A kernel is not ended by one key too many.
    expect(student.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(student.dialog).to_have_count(0)
    assert set(server.kernels()) == {train, plot}
    student.look().get_by_role("button", name="Free the memory…").click()
    student.dialog.get_by_role("button", name="Shut down kernel").click()
    expect(student.dialog).to_have_count(0)
    deadline = time.monotonic() + 30
    while server.kernels() != [plot]:
        assert time.monotonic() < deadline, server.kernels()
        page.wait_for_timeout(100)
    server.agent.me = me()
    student.look()
    expect(student.section).to_contain_text(re.compile("Memory that you hold\\s*none"))
    expect(note).to_have_count(0)
    assert student.lab.errors == []


def test_an_open_notebook_can_restart_instead(page: Page, server: GpuLab) -> None:
    train = server.notebook("train.ipynb")
    server.agent.me = me(processes=[process(1, inner_pid=None, kernel_id=train)])
    student = Student(page, server)
    student.lab.open_file("train.ipynb")
    expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=60_000)
    student.look().get_by_role("button", name="Free the GPU memory of train.ipynb").click()
    student.dialog.get_by_role("button", name="Restart kernel").click()
    expect(student.dialog).to_have_count(0)
    expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=60_000)
    assert server.kernels() == [train]
    # JupyterLab's own debugger asks the kernel whatever happens to it.
    assert [error for error in student.lab.errors if "debugger state" not in error] == []


def test_a_reminder_can_be_put_off_and_taken_up_again(page: Page, server: GpuLab) -> None:
    train, plot = server.notebook("train.ipynb"), server.notebook("plot.ipynb")
    server.agent.me = forgotten(train, plot, time.time())
    student = Student(page, server)
    student.lab.theme("JupyterLab Dark")
    section = student.look()
    assert violations(page) == []
    section.get_by_role("button", name="Remind me in an hour").click()
    expect(section).to_contain_text(re.compile(r"You put the reminder off until \d\d?:\d\d"))
    expect(student.item.locator("svg")).to_have_count(0)
    # The keyboard goes on from there.
    expect(section).to_be_focused()
    page.keyboard.press("Escape")
    expect(student.panel).to_have_count(0)
    expect(student.item).to_be_focused()
    # Another tab, another day: the server remembers.
    again = Student(page, server)
    expect(again.item).to_have_text("GPU 10.2 GiB · 3.0 GiB free")
    section = again.look()
    section.get_by_role("button", name="Remind me again").click()
    expect(section.get_by_role("button", name="Free the memory…")).to_be_visible()
    expect(again.item.locator("svg")).to_be_visible()
    assert again.lab.errors == []


def test_what_is_not_known_is_said_with_its_reason_and_never_zero(
    page: Page, server: GpuLab
) -> None:
    train = server.notebook("train.ipynb")
    hidden = untold("the driver reports no load in MIG mode", "unsupported")
    secret = untold("the driver does not tell memory of this process")
    duties = dict.fromkeys(("duty_1m", "duty_5m", "duty_15m"), hidden)
    silent = process(1, inner_pid=None, kernel_id=train, memory_bytes=secret, **duties)
    server.agent.me = me(gpus=[card(sharers=None)], processes=[silent])
    student = Student(page, server)
    expect(student.item).to_have_text("GPU not known · 3.0 GiB free")
    section = student.look()
    expect(section).to_contain_text(re.compile(r"Memory that you hold\s*not known"))
    expect(section).to_contain_text(re.compile(r"Used by\s*not known"))
    expect(section).to_contain_text("Busy the last 1 · 5 · 15 min: not told")
    expect(section).to_contain_text("the driver does not tell memory of this process")
    expect(section).to_contain_text("the driver reports no load in MIG mode")
    assert not re.search(r"\b0 (B|%)", section.inner_text())
    student.leave()

    # Old values have their age.
    server.agent.me = out_of_date()
    section = student.look()
    expect(section).to_contain_text("The driver does not answer.")
    expect(section).to_contain_text("3.0 GiB of 15.0 GiB, 3 min ago")
    expect(student.item).to_have_text("GPU 3.0 GiB free, 3 min ago")
    student.leave()

    # And an agent that cannot tell whose processes they are says so.
    why = "the agent cannot see this server's process"
    server.agent.me = me(owner=None, why=why, gpus=[card(mine=False)])
    section = student.look()
    expect(section).to_contain_text(f"What you use of it is not known: {why}.")
    expect(section).not_to_contain_text("Memory that you hold")
    assert student.lab.errors == []
