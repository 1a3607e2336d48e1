"""The course's data: the same bytes each time, and in it what the notebooks find."""

from __future__ import annotations

import csv
import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from demo import dataset

# Changing these numbers changes the course of everyone who pulled it: do it on purpose only.
COUNTS_SHA256 = "fed1a90a6ab2a348cc5aae84b3ca55186b1371ebfd2fda4a30702aa3cf142f4b"
STATIONS_SHA256 = "aa64f4a340b5fa49b3d39017d3c3cbe085ed52b63733d1a68a7bf05bb16f8ef1"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    begun = time.monotonic()
    dataset.write(folder)
    assert time.monotonic() - begun < 15
    return folder


def test_the_same_bytes_each_time(full: Path) -> None:
    counts = (full / dataset.COUNTS_NAME).read_bytes()
    assert 50_000_000 <= len(counts) <= 100_000_000
    assert hashlib.sha256(counts).hexdigest() == COUNTS_SHA256
    stations = (full / dataset.STATIONS_NAME).read_bytes()
    assert hashlib.sha256(stations).hexdigest() == STATIONS_SHA256


def test_fewer_stations_are_the_first_ones_of_the_full_data(full: Path, tmp_path: Path) -> None:
    counts, stations = dataset.write(tmp_path, stations=2)
    small = counts.read_bytes()
    with (full / dataset.COUNTS_NAME).open("rb") as file:
        assert file.read(len(small)) == small
    assert small.count(b"\n") == 1 + 2 * dataset.DAYS * 24
    assert stations.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("stations", [0, 49, -1])
def test_a_number_of_stations_out_of_range(stations: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give 1 to 48"):
        dataset.write(tmp_path, stations=stations)
    assert list(tmp_path.iterdir()) == []


def test_columns_and_ranges(full: Path) -> None:
    seen: set[str] = set()
    missing = 0
    with (full / dataset.COUNTS_NAME).open(newline="") as file:
        rows = csv.DictReader(file)
        assert tuple(rows.fieldnames or ()) == dataset.COUNTS_COLUMNS
        for number, row in enumerate(rows):
            if number == 3 * dataset.DAYS * 24:
                break
            seen.add(row["weather"])
            missing += row["bikes"] == ""
            assert row["bikes"] == "" or 0 <= int(row["bikes"]) < 2000
            assert -30 < float(row["temperature_c"]) < 45
            assert 0 <= float(row["rain_mm"]) < 50
            assert 0 <= float(row["wind_kmh"]) < 120
            assert 0 <= int(row["humidity_percent"]) <= 100
    assert seen == {"clear", "cloudy", "rain", "heavy rain", "snow"}
    assert 0.003 < missing / (3 * dataset.DAYS * 24) < 0.03


def test_what_is_planted_can_be_found(tmp_path: Path) -> None:
    counts, stations = dataset.write(tmp_path, stations=8)
    with counts.open(newline="") as file:
        text = [row["bikes"] for row in csv.DictReader(file)]
    bikes = np.array([float(value or "nan") for value in text]).reshape(8, dataset.DAYS, 24)
    with stations.open(newline="") as file:
        kinds = [row["street_type"] for row in csv.DictReader(file)]
    assert set(kinds) == set(dataset.STREET_TYPES)

    days = np.datetime64(dataset.FIRST_DAY) + np.arange(dataset.DAYS)
    weekend = (days.astype("datetime64[D]").astype(np.int64) + 3) % 7 >= 5
    for kind, profile in zip(kinds, bikes, strict=True):
        workday = np.nanmean(profile[~weekend], axis=0)
        free_day = np.nanmean(profile[weekend], axis=0)
        assert (np.nansum(free_day) > np.nansum(workday)) == (kind == "leisure")
        if kind == "commuter":
            assert workday[8] > 2 * workday[11]

    closed = (days >= np.datetime64("2024-05-01")) & (days < np.datetime64("2024-07-01"))
    year_before = (days >= np.datetime64("2023-05-01")) & (days < np.datetime64("2023-07-01"))
    bridge = bikes[dataset.CLOSED_STATION]
    assert np.nanmean(bridge[closed]) < 0.1 * np.nanmean(bridge[year_before])

    year = days.astype("datetime64[Y]")
    growth = [
        np.nanmean(station[year == np.datetime64("2025")])
        / np.nanmean(station[year == np.datetime64("2023")])
        for station in bikes
    ]
    assert int(np.argmax(growth)) == dataset.NEW_LANE_STATION
    assert sorted(growth)[-1] > 1.4 > 1.25 > sorted(growth)[-2]
