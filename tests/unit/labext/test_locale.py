"""The front-end's own catalogues, in the way JupyterLab finds and reads them."""

import json
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from jupyterlab_server import translation_utils

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "labext/lab/src"
DOMAIN = "jupyter_samepage"
LOCALES = ("de_DE", "zh_CN")  # as the language packs name them
_TEXT = r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\s*"
_CALL = re.compile(r"trans\s*\.\s*_\w+\(")
_SINGLE = re.compile(rf"trans\s*\.\s*__\(\s*{_TEXT}[,)]")
_PLURAL = re.compile(rf"trans\s*\.\s*_n\(\s*{_TEXT},\s*{_TEXT},")
_FIELD = re.compile(r"%\d")


def messages() -> dict[str, str | None]:
    """English by key; a message with a plural has it as value, any other None."""
    found: dict[str, str | None] = {}
    for file in sorted(SOURCES.rglob("*.ts*")):
        code = file.read_text("utf-8")
        single, plural = _SINGLE.findall(code), _PLURAL.findall(code)
        calls = len(_CALL.findall(code))
        assert len(single) + len(plural) == calls, f"{file}: a text that is not written there"
        here = dict.fromkeys(map(_text, single)) | {_text(one): _text(many) for one, many in plural}
        for key, many in here.items():
            # JupyterLab finds only one of the two, by the number of texts that the entry has.
            assert found.get(key, many) == many, f"{key}: with and without a plural"
        found |= here
    return found


def _text(literal: str) -> str:
    assert "\\" not in literal, literal
    return literal[1:-1]


def fields(text: str) -> set[str]:
    return set(_FIELD.findall(text))


@pytest.fixture
def entry_point() -> EntryPoint:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    group = translation_utils.JUPYTERLAB_LOCALE_ENTRY
    (point,) = project["entry-points"][group].items()
    return EntryPoint(name=point[0], value=point[1], group=group)


@pytest.fixture(params=LOCALES)
def catalogue(
    request: pytest.FixtureRequest, entry_point: EntryPoint, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """What JupyterLab's server gives to the page. Its header was looked at."""
    locale: str = request.param
    monkeypatch.setattr(translation_utils, "entry_points", lambda group: [entry_point])
    found, told = translation_utils.get_installed_packages_locale(locale)
    assert told == ""
    texts: dict[str, list[str]] = found[DOMAIN]
    head = dict(found[DOMAIN].pop(""))
    # The page looks its language up with a hyphen: under zh_CN it would find nothing.
    assert (head["domain"], head["language"]) == (DOMAIN, locale.replace("_", "-"))
    assert re.fullmatch(r"nplurals=[12]; plural=[^;]+;", head["plural_forms"])
    return texts


def test_every_message_of_the_front_end_is_translated(catalogue: dict[str, list[str]]) -> None:
    wanted = messages()
    assert len(wanted) > 250
    assert wanted.keys() - catalogue.keys() == set(), "without a translation"
    assert catalogue.keys() - wanted.keys() == set(), "translated, but said no longer"


def test_translations_say_the_same_things(catalogue: dict[str, list[str]]) -> None:
    for english, many in messages().items():
        texts = catalogue[english]
        assert all(text.strip() == text and text for text in texts), english
        if many is None:
            (text,) = texts
            assert fields(text) == fields(english), english
        else:
            # Two also where the language needs one: JupyterLab takes no fewer for a plural.
            one, other = texts
            assert fields(other) == fields(many), english
            assert fields(one) in (fields(english), fields(many)), english


def test_sentences_are_not_left_in_english(catalogue: dict[str, list[str]]) -> None:
    sentences = {key for key in catalogue if len(re.findall(r"[a-z]{3,}", key)) > 1}
    assert {key for key in sentences if key in catalogue[key]} == set()


def test_the_domain_is_the_one_the_plugins_load() -> None:
    for file in SOURCES.rglob("*.ts*"):
        assert set(re.findall(r"\.load\('(\w+)'\)", file.read_text("utf-8"))) <= {DOMAIN}, file


def test_catalogues_are_written_the_same_way() -> None:
    for locale in LOCALES:
        file = ROOT / "labext/locale" / locale / "LC_MESSAGES" / f"{DOMAIN}.json"
        text = file.read_text("utf-8")
        content = json.loads(text)
        assert list(content) == sorted(content)
        assert text == json.dumps(content, ensure_ascii=False, indent=2) + "\n"
