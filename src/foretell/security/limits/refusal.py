"""What a caller is told who has used up a limit. Pure."""

from __future__ import annotations

import math

from foretell.core.access.rates import Rate
from foretell.core.faults import clip
from foretell.errors import RateLimited
from foretell.security.limits.buckets import Bucket
from foretell.security.limits.counters import Refused

_WHOSE = {
    "key": "{name} may make",
    "tenant": "All callers of tenant {name} together may make",
    "model": "All callers of model {name} together may make",
    "address": "{name}, without a credential, may make",
    "failures": "{name} may present",
}
_NAMES = {1: "second", 60: "minute", 3600: "hour", 86_400: "day", 604_800: "week", 30 * 86_400: "30 days"}


def rate_limited(refused: Refused) -> RateLimited:
    """Which limit it is, how much of it is left, and when there is enough again."""
    rate = refused.bucket.rate
    wait_s = max(1, math.ceil(refused.wait_s))
    left = f"{refused.remaining} are left" if refused.remaining else "none are left"
    return RateLimited(
        f"{_limit(refused.bucket)}; {left}. There is room again in {wait_s} s.",
        limit=rate.count,
        remaining=refused.remaining,
        reset_s=wait_s,
    )


def never(bucket: Bucket, asked: int) -> RateLimited:
    """One request asks for more than the whole limit, so that it would be refused for ever."""
    rate = bucket.rate
    return RateLimited(
        f"{_limit(bucket)}, and this request alone has {asked}: it can never pass.",
        limit=rate.count,
        remaining=rate.count,
        never=True,
        code="rate_too_small",
        hint=f"send at most {rate.count} {rate.unit} in one request",
    )


def _limit(bucket: Bucket) -> str:
    rate = bucket.rate
    what = "wrong credentials" if bucket.kind == "failures" else rate.unit
    return f"{_WHOSE[bucket.kind].format(name=clip(bucket.name))} {rate.count} {what} per {_period(rate)}"


def _period(rate: Rate) -> str:
    return _NAMES.get(rate.period_s, f"{rate.period_s} s")
