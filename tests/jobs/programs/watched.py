"""Importing this watches the process's end, and has what is told of it written to a file."""

import json
import os

from otel_run import boundary, report, settings
from otel_run.startup import lifetime, process_facts

found, _ = settings.load(lambda _group: [])
boundary.strict = found.strict
boundary.tell_errors_to(report.tell_error)


def tell(_for_good: bool) -> None:
    """Write it."""
    ending = process_facts.ending()
    error = None if ending.exception is None else str(ending.exception)
    with open(os.environ.get("ENDING", "ending.json"), "w", encoding="utf-8") as file:
        json.dump([ending.exit_code, ending.error_type, error], file)


lifetime.watch()
lifetime.at_end(tell)
lifetime.guard()
process_facts.watch()
