"""Which sampler, and what ratio, OTEL_TRACES_SAMPLER and its argument mean, also where they are misspelt.

A deliberate deviation from the specification, whose answer to a bad value is the default, which keeps
everything: failing open is the expensive mistake. So a ratio that can't be read means 1 %, a misspelt
name means the nearest one, and a readable ratio beside a name that nobody knows is followed.
"""

from __future__ import annotations

from otel_run.grammar import Bad, did_you_mean, nearest, ratio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = "parentbased_always_on"
BY_RATIO = "parentbased_traceidratio"
SAMPLERS = ("always_on", "always_off", "traceidratio", DEFAULT, "parentbased_always_off", BY_RATIO)
# Names of the specification that Python has no sampler for.
ABSENT = ("jaeger_remote", "parentbased_jaeger_remote", "xray")
_OFF = ("off", "none", "never", "false", "no", "drop")

GROUP = "opentelemetry_traces_sampler"
ONE_PERCENT = 0.01


class Choice:
    """A sampler's name, its ratio (1.0 where it takes none), and what was wrong with each variable."""

    __slots__ = ("bad_argument", "bad_name", "name", "ratio")

    def __init__(self, name: str, share: float = 1.0, bad_name: Bad | None = None) -> None:
        self.name = name
        self.ratio = share
        self.bad_name = bad_name
        self.bad_argument: Bad | None = None


def find(given: str, installed: Callable[[str], list[str]]) -> str | None:
    """Return the sampler of this very name, in its known spelling: the specification's, or an entry point's."""
    lowered = given.lower()
    if lowered in SAMPLERS:
        return lowered
    return next((name for name in installed(GROUP) if name.lower() == lowered), None)


def refuse(given: str) -> Bad:
    """Say what is allowed in place of `given`."""
    known = f"{', '.join(SAMPLERS)}, or an installed entry point of {GROUP}"
    if given.lower() in ABSENT:
        return Bad(known, f"{given.lower()} does not exist for Python")
    return Bad(known, did_you_mean(given, SAMPLERS))


def choose(given: str, argument: str | None, installed: Callable[[str], list[str]]) -> Choice:
    """Return the sampler to use for a name and an argument as they were given."""
    share = ratio(argument) if argument is not None else None
    name = find(given, installed)
    choice = Choice(name) if name is not None else _instead(given, share)
    if not choice.name.endswith("traceidratio"):
        return choice
    if isinstance(share, Bad):
        choice.bad_argument = share
        choice.ratio = ONE_PERCENT
    elif share is not None:
        choice.ratio = share
    return choice


def _instead(given: str, share: float | Bad | None) -> Choice:
    bad = refuse(given)
    as_ratio = ratio(given)
    if not isinstance(as_ratio, Bad):
        bad.hint = f"the ratio belongs into OTEL_TRACES_SAMPLER_ARG, with OTEL_TRACES_SAMPLER={BY_RATIO}"
        return Choice(BY_RATIO, as_ratio, bad)
    if given.lower() in ABSENT:
        return Choice(BY_RATIO, ONE_PERCENT, bad)
    if given.lower() in _OFF:
        return Choice("always_off", bad_name=bad)
    near = nearest(given, SAMPLERS, 0.85)
    if near is None and share is not None:
        near = BY_RATIO
    return Choice(near or nearest(given, SAMPLERS) or DEFAULT, bad_name=bad)
