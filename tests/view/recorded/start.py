"""Runs one of the programs beside it: what they do is in their functions, so that these can be traced."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from importlib import import_module

from downstream import downstream

with downstream() as url, contextlib.suppress(KeyError):
    done = import_module(sys.argv[1]).main(url)
    if inspect.iscoroutine(done):
        asyncio.run(done)
