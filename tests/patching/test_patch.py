"""A patch: what it finds, what it puts in its place, and that nothing is left when it is undone."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

import pytest

from otel_run.patching.wrap import DoesNotFit, Patch
from patching.observed import Library, Seen, new_library, patch


@pytest.fixture
def library() -> type[Library]:
    return new_library()


@pytest.mark.parametrize("name", ["static", "klass"])
@pytest.mark.parametrize("inherited", [False, True])
def test_static_and_class_methods_stay_what_they_are(name: str, inherited: bool, library: type[Library]) -> None:
    owner = type("Child", (library,), {}) if inherited else library
    further = type("Grandchild", (owner,), {})
    seen = Seen()
    made = patch(owner, name, seen)
    assert type(vars(owner)[name]) is type(vars(library)[name])
    for cls in (owner, further):
        wanted = (1, 2) if name == "static" else (cls, 1, 2)
        assert getattr(cls, name)(1, 2) == wanted
        assert getattr(cls(), name)(1, 2) == wanted
    assert len(seen.begun) == 4
    if inherited:
        getattr(library, name)(1)
        assert len(seen.begun) == 4, "the parent class is not observed"
    made.undo()
    assert (name in vars(owner)) is not inherited
    assert getattr(owner(), name)(1) == ((1,) if name == "static" else (owner, 1))
    assert len(seen.begun) == 4


def test_an_inherited_method_is_observed_for_the_child_alone(library: type[Library]) -> None:
    child = type("Child", (library,), {})
    seen = Seen()
    made = patch(child, "function", seen)
    library().function()
    assert seen.begun == []
    assert child().function() == 1
    assert len(seen.begun) == 1
    made.undo()
    assert "function" not in vars(child)


def test_undone_it_is_the_very_object_of_before_and_may_be_applied_again(library: type[Library]) -> None:
    before = dict(vars(library))
    seen = Seen()
    made = patch(library, "function", seen)
    for _ in range(2):
        made.undo()
        made.undo()
        assert dict(vars(library)) == before
        made.apply()
        assert library().function() == 1
    assert len(seen.begun) == 2


def test_undone_below_somebody_elses_wrapper_it_observes_nothing_more(library: type[Library]) -> None:
    seen = Seen()
    made = patch(library, "function", seen)
    ours = library.function

    @functools.wraps(ours)
    def theirs(*args: Any) -> object:
        return ("theirs", ours(*args))

    library.function = theirs  # type: ignore[assignment, method-assign]
    assert library().function() == ("theirs", 1)
    made.undo()
    assert library.function is theirs, "undoing ours must not undo theirs"
    assert library().function() == ("theirs", 1)
    assert len(seen.begun) == 1
    again = patch(library, "function", seen)
    library().function()
    assert len(seen.begun) == 2, "applied anew, one call is observed once"
    again.undo()
    assert library.function is theirs


class WithProperty:
    """What has the name but can't be called."""

    value = property(lambda self: 1)
    number = 1


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Library, "missing"), (WithProperty, "value"), (WithProperty, "number"), (WithProperty, "mro"), (sys, "no")],
)
def test_what_does_not_fit_is_named_and_left_alone(owner: object, name: str) -> None:
    with pytest.raises(DoesNotFit, match=name):
        Patch("test", owner, name, Seen())


def test_functions_of_modules_builtins_and_lazy_attributes() -> None:
    module: Any = types.ModuleType("fake")
    module.there, module.builtin = lambda x: x, len
    module.__getattr__ = {"lazy": lambda x: -x}.__getitem__
    seen = Seen()
    made = [patch(module, name, seen) for name in ("there", "builtin", "lazy")]
    assert (module.there(1), module.builtin("abc"), module.lazy(2)) == (1, 3, -2)
    assert len(seen.begun) == 3
    for one in made:
        one.undo()
    assert (module.builtin, "lazy" in vars(module)) == (len, False)
