"""Processor seconds of this process and a Redis together: what an action takes on an idle machine, where neither waits
for the processor, measured on one that is busy."""

from __future__ import annotations

import gc
import time

import redis

from bench.measure import Action


def processor_seconds(client: redis.Redis, action: Action) -> float:
    """What an action costs here and in Redis. Earlier garbage is not counted."""
    gc.collect()
    before = time.process_time() + _redis_seconds(client)
    action()
    return time.process_time() + _redis_seconds(client) - before


def _redis_seconds(client: redis.Redis) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
