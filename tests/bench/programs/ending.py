"""A program that ends when it has made some spans; the last thing it does is to tell the time."""

from __future__ import annotations

import json
import os
import time

import redis

if __name__ == "__main__":
    with redis.Redis.from_url(os.environ["BENCH_VALKEY"]) as cache:
        for number in range(100):
            cache.get(f"stock:{number}")
    print(json.dumps({"end": time.monotonic()}), flush=True)
