"""The resource: which process of which service made a span (semantic conventions, "Resource")."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.version import __version__ as sdk_version

from otel_run import __version__
from otel_run.boundary import contained, without_exit
from otel_run.grammar import readable
from otel_run.patching import candidates

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from otel_run.settings import Settings


def build(settings: Settings, service_name: str) -> Resource:
    """Return the resource: what we know, then what detectors find, then what the user said."""
    found = Resource(_own())
    points = dict(candidates.entry_points("opentelemetry_resource_detector")) if settings.resource_detectors else {}
    for name in settings.resource_detectors:
        # "otel" reads the variables that we have read already.
        if name != "otel":
            detected = contained(f"resource detector {name}", _detect, points, name)
            found = found.merge(detected) if detected is not None else found
    return found.merge(Resource({**settings.resource_attributes, "service.name": service_name}))


def _own() -> dict[str, AttributeValue]:
    version = sys.version_info
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
        "telemetry.distro.name": "otel-run",
        "telemetry.distro.version": __version__,
        "service.instance.id": str(uuid4()),
        # The command's arguments are left out: they hold secrets.
        "process.pid": os.getpid(),
        "process.executable.name": readable(os.path.basename(sys.executable or "python")),
        "process.executable.path": readable(sys.executable or ""),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, version[:3])),
        "process.runtime.description": sys.version,
        "host.name": os.uname().nodename if hasattr(os, "uname") else "",
    }


def _detect(points: dict[str, str], name: str) -> Resource:
    if name not in points:
        raise LookupError("no entry point of opentelemetry_resource_detector has this name")
    detected: Resource = without_exit(candidates.make(points[name]).detect)
    return detected


def after_fork(instance_id: AttributeValue | None) -> Resource:
    """Return what differs in a forked child; its own `service.instance.id` unless one was chosen."""
    return Resource({"service.instance.id": instance_id or str(uuid4()), "process.pid": os.getpid()})
