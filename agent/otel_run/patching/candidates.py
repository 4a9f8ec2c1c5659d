"""Who could trace what: the installed instrumentors, and the modules that each waits for.

A candidate is an entry point of the group `opentelemetry_instrumentor`, ours or anybody's. Entry points
are read straight from the `*.dist-info` folders: importlib.metadata takes ten times as long to import as
this takes to run, and is asked only for what lies in zip files and eggs.
"""

from __future__ import annotations

import os
import sys
import zipimport

from otel_run.boundary import contained, without_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

GROUP = "opentelemetry_instrumentor"
# Of our own distribution only: name of an instrumentor -> the module whose import applies it, where that is not the
# package of this name. Most of `django` is imported by programs that never serve a request.
TRIGGERS = "otel_run_trigger"

# Standard-library modules that nearly every program imports. An instrumentor of one of these would
# break "free until needed", so it waits until a library has woken the agent. And gevent and eventlet, which
# have to patch modules before anybody imports what we need.
AMBIENT = frozenset(
    (
        "asyncio",
        "concurrent",
        "eventlet",
        "gevent",
        "joblib",
        "logging",
        "multiprocessing",
        "os",
        "subprocess",
        "threading",
    )
)
# What to import for an entry point that is named after a package whose work is in a submodule. celery's command
# has gevent or eventlet patch everything, and gevent makes celery import much of itself half-way through that; an
# instrumentor imports the rest, which would keep what is not patched yet. The fixups come with the first application.
_WORKING_MODULE = {"celery": "celery.fixups", "urllib": "urllib.request"}
# Folders that some distributions install beside their package by mistake.
_BYCATCH = frozenset(("test", "tests", "doc", "docs", "example", "examples", "benchmarks", "scripts"))


class Distribution:
    """One installed distribution, read file by file."""

    __slots__ = ("_folder", "_lazy", "name")

    def __init__(self, name: str, folder: str, lazy: Any = None) -> None:
        self.name = normalize(name)
        self._folder = folder
        self._lazy = lazy

    @property
    def place(self) -> str:
        """Return the folder that it is installed in."""
        return os.path.abspath(os.path.dirname(self._folder) if self._lazy is None else self._folder)

    def read(self, filename: str) -> str:
        """Return a metadata file's text, empty if there is none."""
        try:
            if self._lazy is not None:
                return self._lazy.read_text(filename) or ""
            # In text mode it takes twice as long, and there are hundreds.
            with open(f"{self._folder}{os.sep}{filename}", "rb", buffering=0) as file:
                return file.read().decode("utf-8", "replace")
        except (OSError, ValueError):  # ValueError: no UTF-8, in a zip file
            return ""

    def entry_points(self, group: str) -> Iterator[tuple[str, str]]:
        """Yield (name, "module:attribute") of the group."""
        section = ""
        for raw in self.read("entry_points.txt").splitlines():
            line = raw.strip()
            if line.startswith("["):
                section = line.strip("[]").strip()
            elif section == group and "=" in line and not line.startswith(("#", ";")):
                name, _, value = line.partition("=")
                yield name.strip(), value.partition("[")[0].replace(" ", "").strip()

    def instruments(self) -> list[str]:
        """Return the names of the distributions in the extras `instruments` and `instruments-any`."""
        found = []
        # The header; behind it stands a whole README.
        text = (self.read("METADATA") or self.read("PKG-INFO")).partition("\n\n")[0]
        for line in text.splitlines():
            if not line:
                break
            field, _, requirement = line.partition(":")
            wanted, _, marker = requirement.partition(";")
            extra = marker.replace("'", '"').replace(" ", "").replace("_", "-")
            if field == "Requires-Dist" and ('extra=="instruments"' in extra or 'extra=="instruments-any"' in extra):
                found.append(library_of(wanted))
        return list(dict.fromkeys(found))

    def modules(self) -> list[str]:
        """Return the import names of the packages and modules that this distribution installs."""
        packages, plain = set(), set()
        # Of thousands of lines, few are looked at closely. The second half of each is a hash, without any `/`.
        lines = [line for line in self.read("RECORD").splitlines() if "/__init__.py" in line or "/" not in line]
        for line in lines:
            parts = line.partition(",")[0].strip('"').split("/")
            if len(parts) > 1 and parts[-1] == "__init__.py":
                packages.add(tuple(parts[:-1]))
            elif len(parts) == 1 and parts[0].endswith((".py", ".so", ".pyd")):
                plain.add(parts[0].partition(".")[0])
        # The uppermost folders with an __init__: `google.cloud.storage`, not the namespace `google`.
        tops = {".".join(p) for p in packages if not any(p[:n] in packages for n in range(1, len(p)))}
        found = {name for name in tops | plain if name and name not in _BYCATCH and not name.startswith("__editable__")}
        return sorted(found or set(self.read("top_level.txt").split()) or {self.name.replace("-", "_")})


class Candidate:
    """An instrumentor that could be applied: its name, where it is, and which modules it waits for."""

    __slots__ = ("distribution", "instead_of", "libraries", "modules", "name", "value")

    def __init__(self, name: str, value: str, distribution: str, libraries: list[str], modules: list[str]) -> None:
        self.name = name
        self.value = value
        self.distribution = distribution
        # The distributions it is for; empty if it doesn't say.
        self.libraries = libraries
        # The modules whose import applies it; empty if none of the libraries is installed.
        self.modules = modules
        # Others of the same name, of which this one is used.
        self.instead_of: list[Candidate] = []

    @property
    def is_ours(self) -> bool:
        """Tell whether it is part of otel-run."""
        return self.distribution == "otel-run"

    @property
    def is_absent(self) -> bool:
        """Tell whether its library is not installed, so that there is nothing to wait for."""
        return bool(self.libraries) and not self.modules

    @property
    def is_ambient(self) -> bool:
        """Tell whether it has to wait until something else has woken the agent."""
        return not self.libraries and all(name.partition(".")[0] in AMBIENT for name in self.modules)


def find() -> list[Candidate]:
    """Return the candidates, each name once: ours before anybody's, then the first on the path."""
    installed = {distribution.name: distribution for distribution in distributions()}
    found: dict[str, Candidate] = {}
    for distribution in installed.values():
        for candidate in contained(f"metadata of {distribution.name}", _candidates, distribution, installed) or ():
            other = found.get(candidate.name)
            if other is None:
                found[candidate.name] = candidate
            elif candidate.is_ours and not other.is_ours:
                candidate.instead_of = [*other.instead_of, other]
                found[candidate.name] = candidate
            else:
                other.instead_of.append(candidate)
    return list(found.values())


def _candidates(distribution: Distribution, installed: dict[str, Distribution]) -> list[Candidate]:
    points = list(distribution.entry_points(GROUP))
    if distribution.name == "otel-run":
        # Our files are named after what they wait for, or after the package that it is in.
        triggers = dict(distribution.entry_points(TRIGGERS))
        return [Candidate(name, value, distribution.name, [], [triggers.get(name, name)]) for name, value in points]
    libraries = distribution.instruments() if points else []
    made = []
    for name, value in points:
        # One distribution may bring instrumentors for several libraries, and its metadata does not say which is for
        # which. The names of the entry points mostly do: `httpx2` is not to be applied to httpx.
        meant = [library for library in libraries if _squeezed(library) == _squeezed(name)]
        wanted = meant if meant and len(points) > 1 else libraries
        made.append(Candidate(name, value, distribution.name, wanted, _modules(name, wanted, installed)))
    return made


def _modules(name: str, libraries: list[str], installed: dict[str, Distribution]) -> list[str]:
    """Return what an entry point of that name, for one of these libraries, waits for."""
    if not libraries:
        return [_WORKING_MODULE.get(name, name)] if name in sys.stdlib_module_names else []
    found = [module for library in libraries if library in installed for module in installed[library].modules()]
    # A library may install modules that are used without it: `bson`, of pymongo.
    named = [module for module in found if _squeezed(module) == _squeezed(name)]
    return [_WORKING_MODULE.get(module, module) for module in named or found]


def _squeezed(name: str) -> str:
    return normalize(name).replace("-", "")


def entry_points(group: str) -> list[tuple[str, str]]:
    """Return (name, "module:attribute") for every installed entry point of `group`."""
    return [point for distribution in distributions() for point in distribution.entry_points(group)]


def names(group: str) -> list[str]:
    """Return the names of the installed entry points of `group`."""
    return [name for name, _ in entry_points(group)]


def load(value: str) -> Any:
    """Import what an entry point's "module:attribute" names."""
    module, _, attribute = value.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part)
    return found


def make(value: str, *arguments: object) -> Any:
    """Import what an entry point names and call it. It may fail, but not end the program."""
    return without_exit(lambda: load(value)(*arguments))


def distributions() -> list[Distribution]:
    """Return what is installed on `sys.path`; of two versions of one name, the first."""
    found: dict[str, Distribution] = {}
    # importlib passes over a sys.path entry that is not a str, such as a Path, and so must we.
    for entry in dict.fromkeys(entry for entry in sys.path if isinstance(entry, str)):
        for distribution in contained(f"metadata in {entry}", _in_folder, entry or os.curdir) or ():
            found.setdefault(distribution.name, distribution)
    return list(found.values())


def _in_folder(entry: str) -> Iterable[Distribution]:
    if entry.endswith(".egg"):
        return _in_archive(entry)
    try:
        listed = os.listdir(entry)
    except NotADirectoryError:
        return _in_archive(entry)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ()
    return [
        Distribution(name.rpartition(".")[0].partition("-")[0], os.path.join(entry, name))
        for name in listed
        if name.endswith((".dist-info", ".egg-info"))
    ]


def _in_archive(entry: str) -> Iterable[Distribution]:
    # Most archives are applications without any metadata; looking costs nothing, as the interpreter has
    # listed them already, and importlib_metadata brings a hundred modules.
    try:
        zipimport.zipimporter(entry)
    except zipimport.ZipImportError:
        return ()
    listed = getattr(zipimport, "_zip_directory_cache", {}).get(entry)
    if listed is not None and not any("entry_points.txt" in name for name in listed):
        return ()
    import importlib_metadata

    return [
        Distribution(_name_in(Distribution("", entry, found)), entry, found)
        for found in importlib_metadata.distributions(path=[entry])
    ]


def _name_in(distribution: Distribution) -> str:
    # importlib_metadata raises, or not, by version, where there is no METADATA.
    lines = (distribution.read("METADATA") or distribution.read("PKG-INFO")).splitlines()
    return next((line[5:].strip() for line in lines if line.startswith("Name:")), "")


def library_of(requirement: str) -> str:
    """Return the name of the distribution that a requirement ("redis >= 2.6") asks for."""
    end = next((i for i, c in enumerate(requirement.strip()) if not (c.isalnum() or c in "-_.")), None)
    return normalize(requirement.strip()[:end])


def normalize(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    lowered = name.lower().replace("_", "-").replace(".", "-")
    while "--" in lowered:
        lowered = lowered.replace("--", "-")
    return lowered
