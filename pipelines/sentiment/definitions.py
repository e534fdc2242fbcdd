"""The Dagster definitions of the group ``sentiment``."""

import dagster as dg

from pipelines.sentiment.assets import news, sentiment
from pipelines.sentiment.schedules import (
    NEWS_JOB,
    SENTIMENT_JOB,
    news_every_15_minutes,
    sentiment_at_start,
    sentiment_every_hour,
)

DEFINITIONS = dg.Definitions(
    assets=[news, sentiment],
    jobs=[NEWS_JOB, SENTIMENT_JOB],
    schedules=[news_every_15_minutes, sentiment_every_hour],
    sensors=[sentiment_at_start],
)
