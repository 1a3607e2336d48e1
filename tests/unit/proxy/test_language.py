import re
import string
from pathlib import Path

import pytest

from serverproxy.jupyter import start_page
from serverproxy.jupyter.language import (
    LANGUAGES,
    catalogue,
    choose,
    lab_locale,
    localized,
    translate,
)
from serverproxy.supervisor.hints import HINTS, explain_exit, explain_timeout

SCRIPT = Path(start_page.__file__).with_name("page") / "start.js"
TRANSLATED = [language for language in LANGUAGES if language != "en"]


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_there_with_its_fields(language: str) -> None:
    found = catalogue(language)
    assert set(found) == set(catalogue("de"))
    for english, translated in found.items():
        assert translated.strip()
        assert fields(translated) <= fields(english), english


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_start_page_and_every_hint_are_translated(language: str) -> None:
    said = set(re.findall(r"words\(\s*'([^']+)'", SCRIPT.read_text()))
    said |= set(re.findall(r"\? '([^']+)' : '[^']+', \{ seconds", SCRIPT.read_text()))
    assert len(said) > 20
    said |= set(start_page._WORDS.values())
    said |= {text for hint in HINTS for text in (hint.message, hint.fix)}
    assert said <= set(catalogue(language))


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("was_ready", [True, False])
@pytest.mark.parametrize("returncode", [3, -9, 127])
def test_failures_are_told_in_the_language(
    language: str, *, was_ready: bool, returncode: int
) -> None:
    for failure in (
        explain_exit(
            "OpenRefine", returncode=returncode, was_ready=was_ready, log_tail=(), oom_kills=None
        ),
        explain_timeout("OpenRefine", waited_s=60.5, log_tail=("OutOfMemoryError: heap",)),
    ):
        told = localized(
            {"failure": {"message": failure.message, "fix": failure.fix, "code": failure.code}},
            catalogue(language),
        )["failure"]
        assert told["message"] != failure.message
        assert told["fix"] != failure.fix
        assert told["code"] == failure.code
        assert "OpenRefine" in told["message"]
        assert not re.search(r" (ended|before|within|answer) ", told["message"])
        assert "{" not in told["message"] + told["fix"]


def test_what_is_not_known_stays_english_and_nothing_else_is_touched() -> None:
    german = catalogue("de")
    assert translate("Something unheard of: 3.", german) == "Something unheard of: 3."
    assert translate("Cancel", catalogue("en")) == "Cancel"
    value = {"title": "Cancel", "log_tail": ["Cancel"], "reason": None, "message": "Cancel"}
    assert localized(value, german) == {**value, "message": "Abbrechen"}


@pytest.mark.parametrize(
    ("lab", "accepted", "chosen"),
    [
        (None, None, "en"),
        (None, "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        (None, "it, en;q=0.5, de;q=0.7", "de"),
        (None, "de;q=0, es", "es"),
        (None, "zh-Hans-CN", "zh_CN"),
        (None, "zh-TW, ja", "en"),
        (None, ";;q=x,,", "en"),
        ("zh_CN", "de", "zh_CN"),
        ("ja_JP", "de", "en"),
    ],
)
def test_the_language_is_that_of_lab_and_then_of_the_browser(
    lab: str | None, accepted: str | None, chosen: str
) -> None:
    assert choose(lab, accepted) == chosen


def test_the_locale_of_lab_is_read_from_its_settings(tmp_path: Path) -> None:
    env = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path)}
    assert lab_locale(env) is None
    file = tmp_path / "@jupyterlab/translation-extension/plugin.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{\n    // Language locale\n    "locale": "zh_CN"\n}')
    assert lab_locale(env) == "zh_CN"
    file.write_text('{\n    "locale": "default"\n}')
    assert lab_locale(env) is None
