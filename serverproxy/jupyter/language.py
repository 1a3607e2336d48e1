"""Sentences of the server in the language of whoever reads them.

A catalogue (`locale/<language>.json`) maps English sentences to those of a language. `{name}` in
one stands for whatever an application, a number or another sentence puts there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_dir

LANGUAGES = ("en", "de", "fr", "es", "zh_CN")
# Fields that hold sentences for people, in what the REST interface answers.
_SPOKEN = frozenset({"message", "fix", "reason"})
_FIELD = re.compile(r"\{(\w+)\}")
_LOCALE = re.compile(r'^\s*"locale"\s*:\s*"([\w-]+)"', re.MULTILINE)
_SETTING = Path("lab/user-settings/@jupyterlab/translation-extension/plugin.jupyterlab-settings")

Catalogue = Mapping[str, str]


@cache
def catalogue(language: str) -> Catalogue:
    """Sentences of a language; empty for English."""
    if language == "en":
        return {}
    file = files("serverproxy.jupyter").joinpath("locale", f"{language}.json")
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def choose(lab: str | None, accepted: str | None) -> str:
    """One of `LANGUAGES`. Pure.

    lab: locale a user has chosen in JupyterLab; it counts before `accepted`, an Accept-Language.
    """
    for asked in ((lab,) if lab else ()) or _by_preference(accepted or ""):
        found = _known(asked)
        if found is not None:
            return found
    return "en"


def _by_preference(accepted: str) -> list[str]:
    weighed = []
    for part in accepted.split(","):
        name, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            weight = 0.0
        if name and weight > 0:
            weighed.append((-weight, name))
    return [name for _, name in sorted(weighed, key=lambda each: each[0])]


def _known(asked: str) -> str | None:
    name = asked.replace("-", "_").lower()
    if name.startswith("zh") and not {"tw", "hk", "mo", "hant"} & set(name.split("_")):
        return "zh_CN"
    language = name.partition("_")[0]
    return language if language in LANGUAGES else None


def lab_locale(env: Mapping[str, str] | None = None) -> str | None:
    """The locale this user has chosen in JupyterLab; None: none, or the browser's. Blocks shortly.

    Source: jupyterlab-server keeps settings in this file, JSON with comments.
    """
    env = os.environ if env is None else env
    asked = env.get("JUPYTERLAB_SETTINGS_DIR")
    folder = Path(asked) if asked else Path(jupyter_config_dir()) / "lab/user-settings"
    try:
        text = (folder / _SETTING.relative_to("lab/user-settings")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = _LOCALE.search(text)
    return None if found is None or found[1] == "default" else found[1]


def language_of(request: Any) -> str:
    """Language for the answer to a request of tornado."""
    return choose(lab_locale(), request.headers.get("Accept-Language"))


def fill(sentence: str, parts: Mapping[str, str]) -> str:
    """The sentence with its fields put in. Pure."""
    return _FIELD.sub(lambda field: parts.get(field[1], field[0]), sentence)


def translate(text: str, sentences: Catalogue) -> str:
    """The sentence in a language; as it is where the catalogue does not have it. Pure."""
    if not sentences or not text:
        return text
    exact = sentences.get(text)
    if exact is not None:
        return exact
    for pattern, translated in _patterns(tuple(sentences.items())):
        match = pattern.fullmatch(text)
        if match is not None:
            parts = {name: translate(part, sentences) for name, part in match.groupdict().items()}
            return fill(translated, parts)
    return text


@cache
def _patterns(items: tuple[tuple[str, str], ...]) -> list[tuple[re.Pattern[str], str]]:
    found = []
    for english, translated in items:
        # A sentence that is nothing but fields would fit everything.
        if "{" in english and len(_FIELD.sub("", english).strip()) > 5:
            pieces = _FIELD.split(english)
            text = "".join(
                re.escape(piece) if at % 2 == 0 else f"(?P<{piece}>.+?)"
                for at, piece in enumerate(pieces)
            )
            found.append((len(english), re.compile(text, re.DOTALL), translated))
    # The longer sentence says more than one that fits by a wide field.
    found.sort(key=lambda each: -each[0])
    return [(pattern, translated) for _, pattern, translated in found]


def localized(value: Any, sentences: Catalogue) -> Any:
    """An answer of the REST interface with its sentences translated. Pure."""
    if not sentences:
        return value
    if isinstance(value, dict):
        return {
            key: translate(each, sentences)
            if key in _SPOKEN and isinstance(each, str)
            else localized(each, sentences)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [localized(each, sentences) for each in value]
    return value
