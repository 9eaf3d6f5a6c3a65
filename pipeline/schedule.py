"""When a cluster runs the pipeline by itself: the `schedule` block of a config, the same for every engine."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from efficientdet.settings import Settings

# Each field's least and greatest number; Sunday is 0, as both engines want it.
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day of the month": (1, 31), "month": (1, 12), "day of the week": (0, 6)}
_PART = re.compile(r"(?:(?P<only>[0-9]+)|(?:\*|(?P<first>[0-9]+)-(?P<last>[0-9]+))(?:/(?P<step>[0-9]+))?)")


def _cron(text: str) -> str:
    """An expression of five fields in numbers, which all engines understand alike."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(fields)} fields; give five: {', '.join(_FIELDS)}")
    for field, (name, (least, greatest)) in zip(fields, _FIELDS.items(), strict=True):
        for part in field.split(","):
            found = _PART.fullmatch(part)
            numbers = [int(found[group]) for group in ("only", "first", "last") if found[group]] if found else [-1]
            steps = found is None or found["step"] is None or int(found["step"]) > 0
            if numbers != sorted(numbers) or not steps or any(not least <= n <= greatest for n in numbers):
                raise ValueError(
                    f"{text!r}: the {name} {part!r} is none; give * or numbers from {least} to {greatest}, "
                    f"as in 3, 1-5, */2 or {least}-{greatest}/2"
                )
    return " ".join(fields)


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone of the IANA database, as UTC or Europe/Berlin are") from error
    return name


def _no_number(moment: Any) -> Any:
    """YAML reads 20270101 as a number, which would be seconds since 1970."""
    if isinstance(moment, (int, float)) or (isinstance(moment, str) and moment.strip().isdigit()):
        raise ValueError(f"{moment} is no moment; write it as 2027-01-01T00:00:00+01:00")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number)]


class ScheduleConfig(Settings):
    """When runs begin, and how many there may be at once."""

    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        None, description="Minute, hour, day of the month, month, day of the week (0 is Sunday): '30 3 * * 1-5'."
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "UTC", description="Of the cron expression, as Europe/Berlin."
    )
    start: Moment | None = Field(None, description="No run before, as 2027-01-01T00:00:00+01:00.")
    end: Moment | None = Field(None, description="No run after.")
    max_concurrent: int = Field(1, ge=1, le=10, description="Runs at once at most; a run that would be one more waits"
                                " for its next turn.")  # fmt: skip
    max_failures: int = Field(3, ge=1, description="So many failures in a row pause the schedule.")

    @model_validator(mode="after")
    def _in_order(self) -> ScheduleConfig:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"schedule.end={self.end.isoformat()} is not after schedule.start; there would be no run")
        return self


class Scheduled(NamedTuple):
    """A schedule as the engine has it.

    id: for the engine. name: the pipeline's. state: ACTIVE, PAUSED or ENDED. cron: as the engine spells it. next: when
    its next turn is, where the engine tells; since: when it was made or last resumed, both in ISO 8601.
    """

    id: str
    name: str
    state: str
    cron: str
    next: str = ""
    since: str = ""


class Scheduler(Protocol):
    """What an engine's client does with schedules; EfficientDetError where the engine refuses or cannot be reached.

    A pipeline has one, which bears its name. Turns that are missed while it is paused are not made up for.
    """

    def put(self, spec: Path, name: str, schedule: ScheduleConfig) -> Scheduled:
        """Makes the schedule of a compiled turn, or changes the one of this name, should there be one.

        A paused one stays paused, and failures before stay counted: what makes them forgotten is `resume` alone.
        One turn is taken at a time, whatever `schedule.max_concurrent` says of the runs that they begin.
        """

    def find(self, name: str) -> Scheduled | None:
        """The schedule of a pipeline."""

    def all(self) -> list[Scheduled]:
        """Those of every pipeline."""

    def pause(self, name: str) -> None:
        """No further runs until it is resumed."""

    def resume(self, name: str) -> None:
        """Runs begin again, from the next turn on; earlier failures are forgotten."""

    def delete(self, name: str) -> None:
        """Removes it; runs that have begun go on."""


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339, as both engines want it."""
    return moment.isoformat() if moment else None
