"""Scripts and locks of redis-py: one span for each call of the program's, with or without loading."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from libraries.redis_programs import STYLES, assert_spans, call, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

ECHO = "return ARGV[1]"
SHA = hashlib.sha1(ECHO.encode()).hexdigest()
NAMED = {"db__stored_procedure__name": SHA}


@pytest.mark.parametrize("style", STYLES)
def test_a_script_that_has_to_be_loaded_first_is_one_call(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    await r.script_flush()
    script = r.register_script("return ARGV[1]")
    print(await script(["k"], ["s3cret"]))
    print(await script(keys=("k", "l"), args=("s3cret", 1)))
    p = r.pipeline(transaction=False)
    await script(keys=["k"], args=["s3cret"], client=p)
    print(await p.execute())
    """
    run = traced(program(style, body), valkey.url)
    assert run.stdout == "b's3cret'\nb's3cret'\n[b's3cret']\n", run
    assert_spans(
        run,
        call(valkey, "SCRIPT FLUSH", run.spans[1].attributes["db.query.text"]),
        call(valkey, "EVALSHA", "EVALSHA ? 1 k ?", **NAMED),
        call(valkey, "EVALSHA", "EVALSHA ? 2 k l ? ?", **NAMED),
        call(valkey, "PIPELINE EVALSHA", "EVALSHA ? 1 k ?"),
    )
    assert {span.status for span in run.spans} == {"UNSET"}


@pytest.mark.parametrize("style", STYLES)
def test_an_error_of_a_script_is_told_without_its_words(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    script = r.register_script("return redis.error_reply('MINE ' .. ARGV[1])")
    for start in (script, lambda **given: r.evalsha("0" * 40, 0)):
        try:
            await start(keys=[], args=["s3cret"])
        except redis.ResponseError as error:
            print(type(error).__name__, error)
    """
    run = traced(program(style, body), valkey.url)
    assert "s3cret" in run.stdout
    mine, lost = run.spans[1:]
    assert (mine.name, mine.status, mine.status_message) == ("EVALSHA", "ERROR", "")
    assert lost.attributes["db.response.status_code"] == "NOSCRIPT"
    assert lost.attributes["db.stored_procedure.name"] == "0" * 40
    assert "s3cret" not in repr(run.spans)


@pytest.mark.parametrize("style", STYLES)
def test_a_lock_is_its_commands(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    lock = r.lock("door", timeout=5)
    print(await lock.acquire())
    await lock.release()
    """
    run = traced(program(style, body), valkey.url)
    assert run.stdout == "True\n", run
    released = run.spans[2].attributes.get("db.stored_procedure.name")
    assert_spans(
        run,
        call(valkey, "SET", "SET door ? ? ? ?"),
        call(valkey, "EVALSHA", "EVALSHA ? 1 door ?", db__stored_procedure__name=released),
    )
