import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lual.errors import ConfigError
from lual.pipelines.timestamps import LOCAL_TIME, UTC, TimeText

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def berlin(monkeypatch):
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    if before is None:
        monkeypatch.delenv("TZ")
    else:
        monkeypatch.setenv("TZ", before)
    time.tzset()


@given(st.integers(-(10**18), 10**19))
def test_utc_texts_are_those_of_datetime(microseconds_ish):
    ns = microseconds_ish
    expected = EPOCH + timedelta(microseconds=ns // 1000)
    assert TimeText(UTC)(ns) == expected.isoformat(timespec="microseconds")


def test_an_instant_before_the_epoch_is_rounded_down():
    assert TimeText(UTC)(-1) == "1969-12-31T23:59:59.999999+00:00"


@pytest.mark.usefixtures("berlin")
def test_local_times_follow_a_clock_change_and_carry_no_offset():
    clock = TimeText(LOCAL_TIME)
    before = 1_711_846_799 * 10**9  # 2024-03-31T00:59:59Z
    assert clock(before) == "2024-03-31T01:59:59.000000"
    assert clock(before + 10**9) == "2024-03-31T03:00:00.000000"
    assert clock(before) == "2024-03-31T01:59:59.000000"


@pytest.mark.usefixtures("berlin")
def test_local_strftime_knows_the_zone_of_the_instant():
    clock = TimeText(LOCAL_TIME, "%H:%M %Z %z")
    assert clock(1_711_846_799 * 10**9) == "01:59 CET +0100"
    assert clock(1_711_846_800 * 10**9) == "03:00 CEST +0200"


@pytest.mark.parametrize(
    ("time_format", "expected"),
    [
        ("%H:%M:%S.%f", "00:00:07.000123"),
        ("%H%%f", "00%f"),
        ("%f|%f", "000123|000123"),
        ("%f", "000123"),
        ("", ""),
        ("täglich %d", "täglich 01"),
        ("{%Y}", "{1970}"),
    ],
)
def test_a_format_is_that_of_strftime_with_microseconds(time_format, expected):
    assert TimeText(UTC, time_format)(7_000_123_999) == expected


def test_an_instant_beyond_the_calendar_is_written_as_seconds():
    assert TimeText(UTC)(10**30 + 1000) == "@1000000000000000000000.000001"


def test_an_early_year_has_four_digits():
    assert TimeText(UTC)(-62_135_596_800 * 10**9) == "0001-01-01T00:00:00.000000+00:00"


def test_threads_share_the_cache_without_mixing_seconds():
    clock = TimeText(UTC)
    instants = [second * 10**9 for second in range(60)] * 50
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(clock, instants, chunksize=7))
    assert texts == [f"1970-01-01T00:00:{ns // 10**9:02d}.000000+00:00" for ns in instants]


@pytest.mark.parametrize("value", ["UTC+1", "", None, 3, []])
def test_an_unknown_timezone_is_an_error_that_lists_both(value):
    with pytest.raises(ConfigError, match=r"timezone must be lual\.UTC .*lual\.LOCAL_TIME"):
        TimeText(value)


@pytest.mark.parametrize("value", [3, b"%H", "%H\ud800", "a\0b"])
def test_a_format_that_strftime_refuses_is_an_error(value):
    try:
        time.strftime(value)
    except (TypeError, ValueError):
        with pytest.raises(ConfigError, match="time_format"):
            TimeText(UTC, value)
    else:  # newer versions of Python take more
        assert TimeText(UTC, value)(0)
