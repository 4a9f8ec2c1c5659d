"""Requests that nobody has made: the health checks of orchestrators and load balancers, by their `User-Agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_run.instrumentors.http_arrival import Arrival

# How the header begins. Sources: the documentation of each.
_BEGINNINGS = (
    "kube-probe/",
    "ELB-HealthChecker/",
    "Amazon-Route53-Health-Check-Service",
    "GoogleHC/",
    "GoogleStackdriverMonitoring-UptimeChecks",
    "Load Balancer Agent",  # Azure Load Balancer
    "AlwaysOn",  # Azure App Service
    "HealthCheck/1.0",  # Azure App Service
    "ReadyForRequest/1.0 (HealthCheck)",  # Azure App Service
    "Edge Health Probe",  # Azure Front Door
    "Envoy/HC",
    "Consul Health Check",
)


def is_probe(arrival: Arrival) -> bool:
    """Tell whether a machine asks whether we live."""
    return (arrival.header("user-agent") or "").startswith(_BEGINNINGS)
