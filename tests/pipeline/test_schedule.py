"""What a schedule may say."""

from __future__ import annotations

from typing import Any

import pytest

from efficientdet.errors import ConfigError
from pipeline.schedule import ScheduleConfig


def parse(**values: Any) -> ScheduleConfig:
    return ScheduleConfig.parse(values, source="pipeline.yaml")


@pytest.mark.parametrize("cron", ["30 3 * * 1-5", "*/15 0,12 1 */2 *", "0 0-23/2 * * 0"])
def test_cron_expressions_of_five_fields(cron: str):
    assert parse(cron=f"  {cron} ").cron == cron


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 30 3 * * 1", r"has 6 fields; give five: minute, hour"),
        ("@daily", r"has 1 fields"),
        ("60 3 * * *", r"the minute '60' is none; give \* or numbers from 0 to 59"),
        ("0 3 * * 7", r"the day of the week '7' is none"),
        ("0 3 * * MON", r"the day of the week 'MON' is none"),
        ("0 5-3 * * *", r"the hour '5-3' is none"),
        ("5/15 3 * * *", r"the minute '5/15' is none; .* as in 3, 1-5, \*/2 or 0-59/2"),
        ("*/0 3 * * *", r"the minute '\*/0' is none"),
    ],
)
def test_other_expressions_are_refused_with_the_field(cron: str, says: str):
    with pytest.raises(ConfigError, match=says):
        parse(cron=cron)


def test_times_have_a_zone_and_an_order():
    with pytest.raises(ConfigError, match=r"'Mars/Olympus' is no time zone"):
        parse(time_zone="Mars/Olympus")
    with pytest.raises(ConfigError, match=r"schedule.start|start"):
        parse(start="2027-01-01T00:00:00")
    for number in (20270101, "20270101", 1.5):
        with pytest.raises(
            ConfigError, match=rf"start.* {number} is no moment; write it as 2027-01-01T00:00:00\+01:00"
        ):
            parse(start=number)
    with pytest.raises(ConfigError, match=r"is not after schedule.start"):
        parse(start="2027-01-02T00:00:00Z", end="2027-01-02T01:00:00+01:00")
    schedule = parse(start="2027-01-02T00:00:00Z", end="2027-01-02T01:00:00Z", time_zone="Europe/Berlin")
    assert schedule.to_dict()["time_zone"] == "Europe/Berlin"
    assert ScheduleConfig.parse(schedule.to_dict(), source="again") == schedule
