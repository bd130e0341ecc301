from __future__ import annotations

from collections.abc import Callable

import pytest

from lual.pipelines.outputs.when import period_end, period_of

# Rules instead of names of zones: not every machine has the table of names.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
# Clocks go forward at midnight: the day begins at 1:00.
SAO_PAULO = "<-03>3<-02>,M10.3.0/0,M2.3.0/0"
KOLKATA = "IST-5:30"

SCRIPT = """
import sys, time
from lual.pipelines.outputs.when import period_end
time.tzset()
when, moment = sys.argv[1:]
start = time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S"))
when, _, later = when.partition("+")
start += 3600 * int(later or 0)
end = period_end(when, start)
print(time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(end)), int(end - start))
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("zone", "when", "moment", "end"),
    [
        (BERLIN, "daily", "2024-06-15 12:00:00", "2024-06-16 00:00:00 +0200 43200"),
        (BERLIN, "daily", "2024-06-15 00:00:00", "2024-06-16 00:00:00 +0200 86400"),
        (BERLIN, "daily", "2024-06-15 23:59:59", "2024-06-16 00:00:00 +0200 1"),
        # The days on which the clocks change have 23 and 25 hours.
        (BERLIN, "daily", "2024-03-31 00:00:00", "2024-04-01 00:00:00 +0200 82800"),
        (BERLIN, "daily", "2024-10-27 00:00:00", "2024-10-28 00:00:00 +0100 90000"),
        (SAO_PAULO, "daily", "2024-10-19 12:00:00", "2024-10-20 01:00:00 -0200 43200"),
        (SAO_PAULO, "daily", "2024-02-17 12:00:00", "2024-02-18 00:00:00 -0300 46800"),
        # Weeks begin on Monday.
        (BERLIN, "weekly", "2024-06-15 12:00:00", "2024-06-17 00:00:00 +0200 129600"),
        (BERLIN, "weekly", "2024-06-17 00:00:00", "2024-06-24 00:00:00 +0200 604800"),
        (BERLIN, "weekly", "2024-10-21 00:00:00", "2024-10-28 00:00:00 +0100 608400"),
        (BERLIN, "hourly", "2024-06-15 12:15:00", "2024-06-15 13:00:00 +0200 2700"),
        (BERLIN, "hourly", "2024-03-31 01:30:00", "2024-03-31 03:00:00 +0200 1800"),
        # 2:00 to 3:00 comes twice; each is an hour.
        (BERLIN, "hourly+1", "2024-10-27 01:30:00", "2024-10-27 02:00:00 +0100 1800"),
        (BERLIN, "hourly+2", "2024-10-27 01:30:00", "2024-10-27 03:00:00 +0100 1800"),
        (KOLKATA, "hourly", "2024-06-15 12:15:00", "2024-06-15 13:00:00 +0530 2700"),
    ],
)
def test_periods_end_by_the_local_clock(
    run_script: Callable[..., str], zone: str, when: str, moment: str, end: str
) -> None:
    assert run_script(SCRIPT, when, moment, TZ=zone).strip() == end


@pytest.mark.parametrize("when", ["hourly", "daily", "weekly", 1.5, 86400.0])
def test_the_end_of_a_period_is_the_first_second_of_the_next(when: str | float) -> None:
    for moment in range(1_700_000_000, 1_735_000_000, 777_777):
        end = period_end(when, moment)
        assert end > moment
        assert period_of(when, end) > period_of(when, moment)
        assert period_of(when, end - 1) <= period_of(when, moment)


def test_seconds_are_counted_from_the_epoch() -> None:
    assert period_end(900, 1000.5) == 1800.0
