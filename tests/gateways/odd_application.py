"""An ASGI application that does what applications should not, a path for each; it tells what it saw at /log."""

SOURCE = """
import anyio
import http
import re

LOG = []


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await live(scope, receive, send)
    seen = {}

    async def take():
        message = await receive()
        LOG.append(("received", shape(message)))
        return message

    async def give(message):
        try:
            return await send(message)
        except Exception as error:
            LOG.append((scope["path"], type(error).__name__, str(error)))
            raise

    return await PATHS[scope["path"].rpartition("/")[2]](scope, take, give)


async def by_name(*, scope, receive, send):
    return await application(scope, receive, send)


def shape(message):
    told = {"body": "", "more_body": ""}
    return [(key, type(value).__name__, told.get(key, value)) for key, value in message.items()]


async def live(scope, receive, send):
    LOG.append(("lifespan", sorted(scope), type(receive).__name__, type(send).__name__))
    while True:
        message = await receive()
        LOG.append(shape(message))
        await send({"type": message["type"] + ".complete"})
        if message["type"].endswith("shutdown"):
            return


async def answer(send, body=b"", status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-odd", b"1"), *headers]})
    await send({"type": "http.response.body", "body": body})


async def tell_scope(scope, receive, send):
    told = [(key, type(value).__name__, str(value)) for key, value in sorted(scope.items())]
    await answer(send, repr(told).encode(), headers=[(b"content-type", b"text/plain")])


async def stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await anyio.sleep(0.01)
    await send({"type": "http.response.body"})


async def upload(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await answer(send, b"got " + body, 201)


async def empty(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def sized(scope, receive, send):
    await answer(send, b"twelve bytes", headers=[(b"content-length", b"12")])


async def fail(scope, receive, send):
    raise ValueError("at once")


async def fail_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("too late")


async def say_nothing(scope, receive, send):
    pass


async def go_on(scope, receive, send):
    await receive()
    await answer(send, b"done")
    try:
        await send({"type": "http.response.body", "body": b"more"})
    except Exception:
        pass
    with anyio.move_on_after(1):
        LOG.append(("after the end", (await receive())["type"]))


async def start_twice(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await send({"type": "http.response.start", "status": 500, "headers": []})
    except Exception:
        pass
    await send({"type": "http.response.body", "body": b"twice"})


async def malformed(scope, receive, send):
    for message in (None, {}, {"type": "http.response.nonsense"}, {"type": "http.response.start"}):
        try:
            await send(message)
        except Exception:
            pass
    try:
        await answer(send, b"well-formed")
    except Exception:
        pass


async def name_status(scope, receive, send):
    await answer(send, b"", http.HTTPStatus.ACCEPTED)


async def return_something(scope, receive, send):
    await answer(send, b"returned")
    return "something"


async def tell_log(scope, receive, send):
    # Sorted, as what is told of clients that have gone comes when it comes.
    await answer(send, "\\n".join(sorted(set(map(repr, LOG)))).encode())


async def wait_for_client(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"waiting", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    await anyio.sleep(0.4)


PATHS = {
    "scope": tell_scope, "stream": stream, "upload": upload, "empty": empty, "sized": sized, "fail": fail,
    "fail-late": fail_late, "nothing": say_nothing, "go-on": go_on, "twice": start_twice, "malformed": malformed,
    "named": name_status, "returns": return_something, "log": tell_log, "wait": wait_for_client,
}
"""
