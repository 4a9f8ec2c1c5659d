"""`--env-file`: lines of NAME=value, read as docker and systemd read them; what wins over what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, STARTUP_FOLDER, environment, run

if TYPE_CHECKING:
    from pathlib import Path


def variables(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a program that is no Python."""
    done = run([*OTEL_RUN, *arguments, "env", "-0"], cwd, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


ENV_FILE = """\
\ufeff# a comment
OTEL_SERVICE_NAME=from file

export EXPORTED=yes
  SPACED = out \t
SINGLE='a # b'
DOUBLE="it's" # why
INNER={"a": "b"}
QUOTED_INNER="{"a": 1}"
OPEN="half
HASH=a#b
COMMENT=value # why
ONLY= # why
EMPTY=
EQUALS=a=b==
UNICODE=é\u2028x
EXPANDED=$HOME `x`
_1=under
OTEL_SERVICE_NAME=later
"""


def test_an_env_file_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text(ENV_FILE, encoding="utf-8", newline="\r\n")
    found = variables("--env-file", "x.env", cwd=tmp_path)
    wanted = {
        "OTEL_SERVICE_NAME": "later",
        "EXPORTED": "yes",
        "SPACED": "out",
        "SINGLE": "a # b",
        "DOUBLE": "it's",
        "INNER": '{"a": "b"}',
        "QUOTED_INNER": '{"a": 1}',
        "OPEN": '"half',
        "HASH": "a#b",
        "COMMENT": "value",
        "ONLY": "",
        "EMPTY": "",
        "EQUALS": "a=b==",
        "UNICODE": "é\u2028x",
        "EXPANDED": "$HOME `x`",
        "_1": "under",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert len(found) == len({**environment(), **wanted, "PYTHONPATH": ""})


def test_flags_win_over_the_environment_and_that_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("A=file\nB=file\nOTEL_SERVICE_NAME=file\nPYTHONPATH=file\n")
    env = environment(B="env", OTEL_SERVICE_NAME="env")
    found = variables("--service", "flag", "--env-file=x.env", cwd=tmp_path, env=env)
    assert (found["A"], found["B"], found["OTEL_SERVICE_NAME"]) == ("file", "env", "flag")
    assert found["PYTHONPATH"] == f"{STARTUP_FOLDER}:file"


@pytest.mark.parametrize("line", [b"no equals", b"1A=x", b"=x", b"A B=x", b"A-B=x", b"A=\0", b"A=\xff"])
def test_a_bad_line_of_an_env_file_is_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.env").write_bytes(b"GOOD=1\n\n" + line + b"\n")
    done = run([*OTEL_RUN, "--env-file", "x.env", "env"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("otel-run: --env-file x.env")
    assert "Traceback" not in done.stderr
    assert "line 3" in done.stderr or b"\xff" in line
