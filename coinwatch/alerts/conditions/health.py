"""Conditions on operations: a silent market, an open stream gap, a failed job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Condition
from coinwatch.alerts.conditions.options import Option
from coinwatch.alerts.conditions.registry import Declaration, Input, Scope, declare
from coinwatch.alerts.field_parsers import DAY_S
from coinwatch.alerts.texts import duration_text

ANY_JOB = "any"


class Silent(Condition, frozen=True, kw_only=True, tag="silent"):
    """Nothing was received from the market for the duration ``for``, by the database's clock."""

    for_s: Annotated[
        int,
        fields.duration(
            "For", start="1m", usual=("30s", "1m", "5m", "15m", "1h"), least_s=1, longest_s=31 * DAY_S
        ),
    ]

    def phrase(self) -> str:
        return f"silent for {duration_text(self.for_s)}"


class OpenGap(Condition, frozen=True, tag="gap"):
    """A stream gap of the market is not filled yet."""

    def phrase(self) -> str:
        return "with a stream gap that is not filled"


class JobFailed(Condition, frozen=True, kw_only=True, tag="job_failed"):
    """The pipeline job ``job``, or any job, failed and is not retried."""

    job: Annotated[str | None, fields.job()] = None

    def phrase(self) -> str:
        return "a job failed" if self.job is None else f"the job {self.job} failed"


def _job(name: str) -> Mapping[str, Any]:
    return {} if name == ANY_JOB else {"job": name}


declare(
    Declaration(
        struct=Silent,
        title="Market silent",
        hint="Nothing was received from the market for this long.",
        example='{"type":"silent","for":"1m"}',
        input=Input.POLLED,
        measures="seconds",
        is_known_at_once=True,
        meaningless_terms=("hysteresis", "holds_for"),
        options=(Option("silent", "Alert when nothing was received from it for this long.", "for", str),),
    )
)
declare(
    Declaration(
        struct=OpenGap,
        title="Stream gap not filled",
        hint="Trades of the market are missing and could not be recovered yet.",
        example='{"type":"gap"}',
        input=Input.POLLED,
        measures="open gaps",
        is_known_at_once=True,
        meaningless_terms=("hysteresis",),
        options=(Option("gap", "Alert on a gap of its stream that is not filled.", value=bool),),
    )
)
declare(
    Declaration(
        struct=JobFailed,
        title="Job failed",
        hint="A pipeline job failed and is not retried.",
        example='{"type":"job_failed"}',
        scope=Scope.NOTHING,
        input=Input.EVENTS,
        momentary_with={},
        is_known_at_once=True,
        meaningless_terms=("hysteresis",),
        options=(
            Option(
                "job_failed",
                "Alert when this pipeline job fails; any for any job. Needs no pair.",
                value=str,
                parse=_job,
            ),
        ),
    )
)
