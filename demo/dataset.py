"""The course's data: bicycles counted hour by hour in an invented city, 2023 to 2025.

`write` makes `bike_counts.csv` (58 MB) and `stations.csv` from a fixed seed. Every number is
rounded far above the last bit, in which processors differ: the bytes are the same each time.
What can be found in them is planted here: three kinds of streets, seasons, rain, weekends, a
bridge that closes, a cycle lane that opens, counters that fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIRST_DAY = "2023-01-01"
DAYS = 1096  # 2023, 2024 (a leap year) and 2025
STATIONS = 48
SEED = 20_230_101
COUNTS_NAME = "bike_counts.csv"
STATIONS_NAME = "stations.csv"

COUNTS_COLUMNS = (
    "time",
    "station",
    "bikes",
    "temperature_c",
    "rain_mm",
    "wind_kmh",
    "humidity_percent",
    "weather",
)
STATIONS_COLUMNS = (
    "station",
    "name",
    "district",
    "street_type",
    "latitude",
    "longitude",
    "elevation_m",
    "lane_width_m",
)

STREET_TYPES = ("commuter", "leisure", "mixed")
DISTRICTS = ("Old Town", "Harbour", "University", "Northfield", "Mill Quarter", "Westbank")
PLACES = (
    "Bridge Street",
    "River Path",
    "Market Square",
    "Station Road",
    "Lake Shore",
    "Library Lane",
    "Tannery Row",
    "Orchard Way",
)
SUFFIXES = ("north", "south", "east", "west", "inner", "outer")
SCHOOL_BREAKS = (("07-24", "09-03"), ("12-22", "12-31"), ("01-01", "01-06"), ("03-29", "04-09"))

CLOSED_STATION, CLOSED_FROM, CLOSED_UNTIL = 0, "2024-04-15", "2024-08-01"
NEW_LANE_STATION, NEW_LANE_FROM = 3, "2024-10-01"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Calendar:
    hour: NDArray[np.int64]  # 0 to 23
    weekend: NDArray[np.bool_]
    school_break: NDArray[np.bool_]
    year_part: Floats  # 0 at New Year, 1 a year later
    days: NDArray[np.datetime64]
    text: list[str]  # YYYY-MM-DDTHH:MM


@dataclass(frozen=True, kw_only=True)
class _Weather:
    temperature_c: Floats
    rain_mm: Floats
    wind_kmh: Floats
    humidity_percent: Floats
    clouds: Floats  # 0 is usual, above is more


def write(folder: Path, stations: int = STATIONS) -> tuple[Path, Path]:
    """Write both files into `folder`, which must exist; their paths, the counts first.

    Fewer `stations` (1 to 48) give a smaller file; those it has are the same as in the full one.
    Takes seconds and about 200 MB of memory.
    """
    if not 1 <= stations <= STATIONS:
        raise ValueError(f"stations is {stations}; give 1 to {STATIONS}")
    calendar = _calendar()
    weather = _city_weather(calendar)
    counts_path, stations_path = folder / COUNTS_NAME, folder / STATIONS_NAME
    with counts_path.open("w", encoding="ascii", newline="\n") as out:
        out.write(",".join(COUNTS_COLUMNS) + "\n")
        for number in range(stations):
            out.write(_station_rows(number, calendar, weather))
    with stations_path.open("w", encoding="ascii", newline="\n") as out:
        out.write(",".join(STATIONS_COLUMNS) + "\n")
        for number in range(stations):
            out.write(",".join(_station_facts(number)) + "\n")
    return counts_path, stations_path


def station_id(number: int) -> str:
    """The name of station `number` (from 0) in both files: S01, S02, ..."""
    return f"S{number + 1:02d}"


def _calendar() -> _Calendar:
    first = np.datetime64(FIRST_DAY, "h")
    times = first + np.arange(DAYS * 24)
    days = times.astype("datetime64[D]")
    day_number = (days - np.datetime64(FIRST_DAY, "D")).astype(np.int64)
    month_day = np.array([str(day)[5:] for day in days[::24]]).repeat(24)
    school_break = np.zeros(times.size, dtype=np.bool_)
    for begin, end in SCHOOL_BREAKS:
        school_break |= (month_day >= begin) & (month_day <= end)
    return _Calendar(
        hour=np.tile(np.arange(24), DAYS),
        weekend=(day_number + 6) % 7 >= 5,  # 2023 began on a Sunday
        school_break=school_break,
        year_part=day_number / 365.25 % 1.0,
        days=days,
        text=[f"{time}:00" for time in np.datetime_as_string(times, unit="h")],
    )


def _drift(noise: Floats, keep: float) -> Floats:
    """Noise that remembers: each value keeps the share `keep` of the one before; variance 1."""
    fresh = (1.0 - keep * keep) ** 0.5
    value, out = 0.0, np.empty_like(noise)
    for index, push in enumerate(noise.tolist()):
        value = keep * value + fresh * push
        out[index] = value
    return out


def _city_weather(calendar: _Calendar) -> _Weather:
    random = np.random.Generator(np.random.PCG64(SEED))
    hours = calendar.hour.size
    season = -np.cos(2 * np.pi * (calendar.year_part - 0.05))
    fronts = _drift(random.standard_normal(hours), 0.985)
    clouds = _drift(random.standard_normal(hours), 0.96)
    afternoon = np.cos(2 * np.pi * (calendar.hour - 15) / 24)
    clear = np.clip(0.8 - 0.5 * clouds, 0.2, 1.6)
    temperature = 10.5 + 9.5 * season + 3.2 * fronts + (2.4 + 1.6 * season) * clear * afternoon
    wetness = clouds - 1.05 + 0.35 * random.standard_normal(hours)
    rain = np.where(wetness > 0, 1.6 * wetness * wetness + 0.1, 0.0)
    gusts = _drift(random.standard_normal(hours), 0.95)
    wind = np.clip(13.0 + 3.0 * clouds + 5.0 * gusts - 2.0 * season, 0.0, None)
    humidity = np.clip(70 + 9 * clouds - 8 * season - 8 * afternoon * clear, 22, 100)
    return _Weather(
        temperature_c=temperature,
        rain_mm=rain,
        wind_kmh=wind,
        humidity_percent=humidity,
        clouds=clouds,
    )


def _station_random(number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([SEED, number]))


def _station_facts(number: int) -> tuple[str, ...]:
    random = _station_random(number)
    latitude, longitude, height, width = random.random(4).tolist()
    return (
        station_id(number),
        f"{PLACES[number % len(PLACES)]} {SUFFIXES[number // len(PLACES)]}",
        DISTRICTS[(number * 5 + number // 6) % len(DISTRICTS)],
        STREET_TYPES[_street_type(number)],
        f"{51.30 + 0.12 * latitude:.5f}",
        f"{9.40 + 0.20 * longitude:.5f}",
        f"{132 + 120 * height * height:.0f}",
        f"{1.2 + 2.3 * width:.1f}",
    )


def _street_type(number: int) -> int:
    return (number * 7 + number // 4) % len(STREET_TYPES)


def _bump(hour: NDArray[np.int64], centre: float, width: float) -> Floats:
    away = (hour - centre) / width
    return np.asarray(np.exp(-0.5 * away * away), dtype=np.float64)


def _day_profile(kind: int, calendar: _Calendar) -> Floats:
    """How the bicycles spread over the hours, by kind of street and kind of day."""
    hour = calendar.hour
    commute = 1.6 * _bump(hour, 7.7, 1.1) + 1.4 * _bump(hour, 17.2, 1.7) + 0.35 * _bump(hour, 13, 3)
    outing = 0.95 * _bump(hour, 14.5, 3.2) + 0.25 * _bump(hour, 11, 1.5)
    evening = 0.35 * _bump(hour, 19.5, 2.0)
    weekday = (commute, 0.35 * commute + 0.5 * evening + 0.3 * outing, 0.7 * commute + evening)
    weekend = (0.45 * outing, 1.9 * outing + evening, 0.8 * outing + evening)
    profile = np.where(calendar.weekend, weekend[kind], weekday[kind])
    holiday = (0.62, 1.25, 0.85)[kind]
    return np.where(calendar.school_break, profile * holiday, profile) + 0.02


def _station_rows(number: int, calendar: _Calendar, city: _Weather) -> str:
    random = _station_random(number)
    random.random(4)  # those of _station_facts
    hours = calendar.hour.size
    kind = _street_type(number)
    size, warmth, shelter, growth = random.random(4).tolist()

    # In tenths first: what the file says is what the bicycles felt.
    temperature = np.rint(
        10 * (city.temperature_c + 1.6 * (warmth - 0.5) + 0.3 * random.standard_normal(hours))
    ).astype(np.int64)
    rain = np.rint(10 * city.rain_mm * (0.75 + 0.5 * random.random(hours))).astype(np.int64)
    wind = np.rint(10 * city.wind_kmh * (0.7 + 0.5 * shelter)).astype(np.int64)
    humidity = np.clip(
        np.rint(city.humidity_percent + 1.5 * random.standard_normal(hours)), 15, 100
    ).astype(np.int64)

    comfort = 1 / (1 + np.exp(-(temperature / 10 - 8.0) / 5.0)) - 0.25 * _bump(temperature, 350, 40)
    wet = 1 / (1 + (0.9, 2.2, 1.4)[kind] * rain / 10)
    calm = 1 - 0.006 * np.clip(wind / 10 - 10, 0, 60)
    trend = 1 + (0.02 + 0.07 * growth) * np.arange(hours) / 8766
    mood = 1 + 0.10 * _drift(random.standard_normal(hours), 0.9)
    expected = (60 + 240 * size) * _day_profile(kind, calendar) * comfort * wet * calm * trend
    expected = np.clip(expected * mood * _event(number, calendar.days), 0.0, None)
    bikes = np.clip(
        np.rint(expected + np.sqrt(expected) * random.standard_normal(hours)), 0, None
    ).astype(np.int64)

    weather = np.select(
        [(rain > 0) & (temperature < 5), rain > 25, rain > 0, city.clouds > -0.1],
        [4, 3, 2, 1],
        0,
    )
    names = ("clear", "cloudy", "rain", "heavy rain", "snow")
    counted = [str(count) for count in bikes.tolist()]
    for begin, end in _failures(random, hours):
        counted[begin:end] = [""] * (end - begin)
    rows = zip(
        calendar.text,
        [station_id(number)] * hours,
        counted,
        _tenths(temperature),
        _tenths(rain),
        _tenths(wind),
        [str(value) for value in humidity.tolist()],
        [names[value] for value in weather.tolist()],
        strict=True,
    )
    return "\n".join(map(",".join, rows)) + "\n"


def _event(number: int, days: NDArray[np.datetime64]) -> Floats:
    """The share of the usual bicycles that pass, for the two stations where something happened."""
    share = np.ones(days.size)
    if number == CLOSED_STATION:
        shut = (days >= np.datetime64(CLOSED_FROM)) & (days < np.datetime64(CLOSED_UNTIL))
        share[shut] = 0.06
    if number == NEW_LANE_STATION:
        share[days >= np.datetime64(NEW_LANE_FROM)] = 1.45
    return share


def _failures(random: np.random.Generator, hours: int) -> list[tuple[int, int]]:
    """Begin and end of the hours in which the counter was out of order: some 1 % of them."""
    begins = random.integers(0, hours, size=60).tolist()
    lengths = random.integers(1, 9, size=60).tolist()
    return [
        (begin, min(begin + length, hours)) for begin, length in zip(begins, lengths, strict=True)
    ]


def _tenths(values: NDArray[np.int64]) -> list[str]:
    low, high = int(values.min()), int(values.max())
    words = [f"{value / 10:.1f}" for value in range(low, high + 1)]
    return [words[index] for index in (values - low).tolist()]
