"""What the doctor found: one line per check, on the console and as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

VERSION = 1


class Check(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    change: str = ""
    """What to change; empty where nothing has to be."""


class DoctorRecord(BaseModel):
    """All checks of one cluster, in the order in which they were made."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    command: str
    master: str
    checks: list[Check]

    def named(self, state: Literal["ok", "warn", "fail"]) -> list[str]:
        """The names of the checks that ended so."""
        return [check.name for check in self.checks if check.state == state]
