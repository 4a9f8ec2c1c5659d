"""A program of functions of all kinds, each part of which shows what it sees of itself: run bare, and traced."""

import asyncio
import contextlib
import dataclasses
import enum
import functools
import importlib
import inspect
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings


def ratio(a, b=0):
    return a / b


def order(b):
    try:
        return ratio(1, b=b)
    except ZeroDivisionError as error:
        raise ValueError(f"no {b}") from error


@dataclasses.dataclass
class Order:
    id: int
    items: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.items.append(self.id)

    @property
    def total(self):
        return sum(self.items)

    @functools.cached_property
    def label(self):
        return f"order {self.id}"

    @staticmethod
    def parse(text):
        return Order(int(text))

    @classmethod
    def empty(cls):
        return cls(0)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        print("exit", kind, error, len(traceback.extract_tb(trace)) > 0)
        return kind is KeyError

    def __getattr__(self, name):
        raise AttributeError(f"{type(self).__name__} has no {name}")


class Level(enum.Enum):
    LOW = 1

    def up(self):
        return self.value + 1


def logged(function):
    @functools.wraps(function)
    def around(*args, **kwargs):
        print("call", function.__name__, args, kwargs)
        return function(*args, **kwargs)

    return around


@logged
def decorated(a, *, b=2):
    """Say so."""
    return a + b


@functools.lru_cache
def squared(n):
    print("computed", n)
    return n * n


@functools.singledispatch
def shown(value):
    return "something"


@shown.register
def shown_int(value: int):
    return "int"


@contextlib.contextmanager
def block(name):
    print("enter", name)
    try:
        yield name
    except ValueError as error:
        print("block saw", error, [entry.name for entry in traceback.extract_tb(error.__traceback__)][-1])
        raise RuntimeError(name) from error
    finally:
        print("leave", name)


def echoes():
    got = None
    while True:
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error!r}"
        except GeneratorExit:
            print("closed")
            raise


def delegates():
    result = yield from counts(2)
    yield f"result {result}"


def counts(n):
    yield from range(n)
    return "done"


async def fetch(n, seconds=0):
    await asyncio.sleep(seconds)
    if n == 3:
        raise LookupError(n)
    return n


async def pages(n):
    try:
        for page in range(n):
            yield await fetch(page)
    finally:
        print("pages closed")


async def gathers():
    print(await asyncio.gather(*(fetch(n) for n in range(4)), return_exceptions=True))
    async for page in pages(2):
        print("page", page)
    task = asyncio.ensure_future(fetch(1, 60))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        print("cancelled", error.args, task.cancelled())
    stopped = pages(9)
    print(await stopped.asend(None))
    await stopped.aclose()


def deep(n):
    return deep(n + 1)


def adds(n):
    return 0 if n == 0 else 1 + adds(n - 1)


def looks(function):
    print(function, inspect.signature(function), inspect.getdoc(function), function.__defaults__, function.__closure__)
    print(inspect.getsource(function) if function.__name__ != "<lambda>" else "")


def data():
    first = Order(3, [4])
    print(first, first.total, first.label, Order.parse("5"), Order.empty(), first == Order(3, [4, 3][:1]))
    print(Level.LOW.up(), decorated(1, b=5), decorated.__doc__, squared(3), squared(3), squared.cache_info())
    print(shown(1), shown("a"), hasattr(first, "nothing"), sorted(map(squared, [3, 2])))
    print(pickle.loads(pickle.dumps(first)), pickle.loads(pickle.dumps(ratio)) is ratio, Order.parse)
    print(dataclasses.asdict(first), dataclasses.replace(first, id=9), inspect.signature(Order))
    for wrong in (ratio, lambda: ratio(1, 2, 3), lambda: ratio(1, c=2), lambda: first.nothing):
        try:
            wrong()
        except (TypeError, AttributeError) as error:
            print(type(error).__name__, error)
    for function in (ratio, adds, fetch, counts, pages, Order.total.fget):
        looks(function)
    with Order(1), contextlib.suppress(KeyError):
        raise KeyError("suppressed")
    with Order(2):
        raise KeyError("by __exit__")


def generators():
    source = echoes()
    print(next(source), source.send("a"), source.throw(KeyError("b")), inspect.getgeneratorstate(source))
    source.close()
    print(list(delegates()), list(zip(counts(3), "ab", strict=False)), inspect.isgeneratorfunction(counts))
    try:
        with block("b"):
            order(0)
    except RuntimeError as error:
        print(repr(error), repr(error.__cause__), repr(error.__cause__.__cause__))
        traceback.print_exc()


def coroutines():
    asyncio.run(gathers())


def recursion():
    print(adds(500))
    try:
        deep(0)
    except RecursionError as error:
        print(str(error)[:32])
    print(adds(500))


def threads():
    def tells(args):
        traceback.print_exception(args.exc_value)

    threading.excepthook = tells
    at_work = [threading.Thread(target=order, args=(n,)) for n in (1, 0)]
    for thread in at_work:
        thread.start()
        thread.join()
    generator = counts(4)
    got = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: got.append(next(generator)))
        thread.start()
        thread.join()
    print(got)


def warns():
    warnings.warn("here", DeprecationWarning, stacklevel=1)
    logging.basicConfig(format="%(module)s %(funcName)s %(lineno)d %(message)s", stream=sys.stdout)
    logging.warning("logged")
    try:
        order(0)
    except ValueError:
        logging.exception("failed")
    fetch(1)  # it is never awaited, which is said


def handled():
    def takes(number, frame):
        print("signal", number, frame.f_code.co_name)
        raise order(0)

    signal.signal(signal.SIGUSR1, takes)
    signal.raise_signal(signal.SIGUSR1)


def uncaught():
    order(0)


def uncaught_in_handler():
    try:
        order(0)
    except ValueError:
        {}["missing"]


def uncaught_without_context():
    try:
        order(0)
    except ValueError:
        raise KeyError("alone") from None


def uncaught_in_generator():
    for number in counts(2):
        with block("failing"):
            order(number and 0)


def uncaught_in_task():
    asyncio.run(fetch(3))


def uncaught_group():
    errors = []
    for n in (0, 1, 0):
        try:
            order(n)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)  # noqa: F821 - from 3.11 on, where alone it is called


def uncaught_with_notes():
    try:
        order(0)
    except ValueError as error:
        error.add_note("a note")
        raise


def uncaught_stop():
    next(iter(counts(0)))


def uncaught_raised_again():
    kept = None
    try:
        order(0)
    except ValueError as error:
        kept = error
    for _ in range(2):
        try:
            raise kept
        except ValueError as error:
            kept = error
    raise kept


def exits():
    sys.exit(order(4) and 3)


def exits_by_text():
    with block("leaving"):
        sys.exit("a text")


def interrupted():
    signal.raise_signal(signal.SIGINT)


def forks():
    child = os.fork()
    order(1)
    if child:
        os.waitpid(child, 0)
    print("parent" if child else "child", flush=True)


def reloaded():
    if __name__ == "__main__":
        print("a script can't be")
        return
    before = order
    again = importlib.reload(sys.modules[__name__])
    print(again.order is before, again.order(1), before(2), inspect.getsource(again.order) == inspect.getsource(before))


class Kept:
    def __init__(self, name):
        self.name = name

    def close(self):
        print("closed", self.name)

    def __del__(self):
        self.close()


def paused():
    try:
        yield
    finally:
        print("closed a generator")


async def paused_too():
    try:
        yield
    finally:
        print("closed an async generator")


def globals_at_the_end():
    global kept_cycle, kept_file, kept_generator, kept_async_generator
    kept_cycle = Kept("cycle")
    kept_cycle.itself = kept_cycle
    kept_file = open("written.txt", "w")  # noqa: SIM115 - that nobody closes it is the point
    kept_file.write("flushed by nobody but its destructor")
    kept_generator, kept_async_generator = paused(), paused_too()
    next(kept_generator)
    with contextlib.suppress(StopIteration):
        kept_async_generator.asend(None).send(None)


def hook():
    sys.excepthook = lambda kind, error, trace: print(
        kind, error, list(dict.fromkeys(entry.name for entry in traceback.extract_tb(trace)))
    )
    order(0)


def main(name):
    globals()[name]()


if __name__ == "__main__":
    main(sys.argv[1])
