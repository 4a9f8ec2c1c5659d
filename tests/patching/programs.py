"""Libraries of every shape, and programs that import them in every way; read by test_on_import.py."""

from __future__ import annotations

import sys

# ruff: noqa: E501 - one line for each
PACKAGES = {
    "watched/__init__.py": '"""The library."""\nvalue = 1\ndef function():\n    return value\ndone = True\n',
    "watched/sub.py": "import watched\nvalue = watched.value + 1\ndone = True\n",
    "space/inner.py": "value = 3\ndone = True\n",
    "runme.py": "print(__name__, type(__loader__).__name__, __spec__.name)\ndone = True\n",
    "circle_a.py": "import circle_b\nvalue = 1\ndone = True\n",
    "circle_b.py": "import circle_a\nassert not hasattr(circle_a, 'value')\ndone = True\n",
    "replaced.py": "import sys, types\nnew = types.ModuleType(__name__)\nnew.done = True\nsys.modules[__name__] = new\n",
    "renamed.py": "__name__ = 'something else'\ndone = True\n",
    "warning.py": "import warnings\nwarnings.warn('old', UserWarning, stacklevel=2)\ndone = True\n",
    "slow_a.py": "import time\ntime.sleep(0.05)\ndone = True\n",
    "slow_b.py": "import time\ntime.sleep(0.05)\nimport slow_a\ndone = True\n",
    "needed/__init__.py": "",
    "needed/part.py": "import watched, needed.rest\nassert not hasattr(watched, 'patched')\n",
    "needed/rest.py": "",
    "broken_import.py": "import watched\nimport no_such_module\n",
    "broken_from.py": "from watched import no_such_name\n",
    "broken_error.py": "def fail():\n    raise ValueError('theirs')\n\nfail()\n",
    "broken_chain.py": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ImportError('old') from error\n",
    "broken_syntax.py": "value = (1,\n",
    "broken_null.py": "value = '\0'\n",
    "broken_exit.py": "raise SystemExit('bye')\n",
    "broken_interrupt.py": "raise KeyboardInterrupt\n",
    "broken_inside/__init__.py": "from broken_inside import part\n",
    "broken_inside/part.py": "import broken_error\n",
    "broken_once.py": "import sys\nif not hasattr(sys, 'once'):\n    sys.once = 1\n    raise ImportError('not yet')\ndone = True\n",
}
ZIPPED = {
    "zipped/__init__.py": "import zipped.neighbour, zipped.part\ndone = True\n",
    "zipped/part.py": "done = True\n",
    "zipped/neighbour.py": "",
    "zipped_too.py": "done = True\n",
}
WAITING = [
    *(name.replace("/", ".").removesuffix(".py").removesuffix(".__init__") for name in {**PACKAGES, **ZIPPED}),
    *("space", "made", "old", "colorsys", "blocked", "zipimport"),
]
WAITING = [name for name in WAITING if not name.startswith(("needed", "zipped.neighbour"))]

LOOK = """
def look(module):
    spec, loader = module.__spec__, module.__loader__
    print(sorted(vars(module)), getattr(module, "__file__", "none"), getattr(module, "__cached__", "none"))
    print(list(getattr(module, "__path__", ["none"])), module.__package__, spec.loader is loader)
    print(type(spec).__name__, sorted(vars(spec)), spec.name, spec.origin, spec.cached, spec.has_location, spec.parent)
    print(type(loader).__module__, type(loader), sorted(vars(loader)))
"""

# A program, and the modules whose execution was told, in order.
PROGRAMS = {
    "import": ("import watched; print(watched.value)", ["watched"]),
    "submodule first": ("import watched.sub; print(watched.sub.value)", ["watched", "watched.sub"]),
    "from import": ("from watched import value, sub; print(value, sub.value)", ["watched", "watched.sub"]),
    "import twice": ("import watched; import watched; __import__('watched')", ["watched"]),
    "reload": ("import watched, importlib; print(importlib.reload(watched) is watched)", ["watched"] * 2),
    "removal": ("import sys, watched; del sys.modules['watched']; import watched", ["watched"] * 2),
    "circle": ("import circle_a", ["circle_b", "circle_a"]),
    "a module that replaces itself": ("import replaced; print(replaced.done)", ["replaced"]),
    "a module that renames itself": ("import renamed; print(renamed.__name__)", ["renamed"]),
    "a warning that names who imports": ("import warning", ["warning"]),
    "looks": (LOOK + "import watched.sub, space.inner\nlook(watched); look(watched.sub); look(space)",
        ["watched", "watched.sub", "space", "space.inner"]),
    "looks of a zip": (LOOK + "import zipped, zipped_too\nlook(zipped); look(zipped.part); look(zipped_too)",
        ["zipped.part", "zipped", "zipped_too"]),
    "looks of the standard library": (LOOK + "import colorsys\nlook(colorsys)", ["colorsys"]),
    "frozen": ("import zipimport, importlib; importlib.reload(zipimport); import __phello__; print(type(zipimport.__loader__), sorted(vars(zipimport.__loader__)))", None),
    "namespace reloaded": ("import space, importlib; importlib.reload(space); print(space.__path__)", ["space"] * 2),
    "find_spec": ("""
        import importlib.util, sys
        spec = importlib.util.find_spec("watched")
        print(type(spec.loader), spec.origin, spec.loader.is_package("watched"), "watched" in sys.modules)
        print(spec.loader.get_source("watched"), spec.loader.get_data(spec.origin), spec.loader.get_code("watched"))
        print(importlib.util.find_spec("no_such"))
        """, []),
    "executed by hand": ("""
        import importlib.util, sys
        spec = importlib.util.find_spec("watched")
        sys.modules["watched"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(module.value)
        """, ["watched"]),
    "two specs of one zip": ("""
        import importlib.util, sys
        specs = [importlib.util.find_spec(name) for name in ("zipped_too", "zipped")]
        for spec in specs:
            sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        """, ["zipped_too", "zipped.part", "zipped"]),
    "lazily": ("""
        import importlib.util, sys
        spec = importlib.util.find_spec("watched")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules["watched"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(module.value, type(module).__name__)
        """, ["watched"]),
    "lazily by a finder": ("""
        import sys, threading, types
        from importlib.machinery import FileFinder, SOURCE_SUFFIXES, SourceFileLoader
        from importlib.util import LazyLoader
        sys.path_hooks.insert(0, FileFinder.path_hook((LazyLoader.factory(SourceFileLoader), SOURCE_SUFFIXES)))
        sys.path_importer_cache.clear()
        import watched
        print("done" in object.__getattribute__(watched, "__dict__"), type(watched).__name__)
        print(watched.value, type(watched).__name__)
        """, ["watched"]),
    "runpy": ("import runpy; print(sorted(runpy.run_module('runme', run_name='__main__')))", []),
    "pkgutil": ("""
        import pkgutil, watched
        print(pkgutil.get_data("watched", "__init__.py"), [m.name for m in pkgutil.iter_modules(watched.__path__)])
        print([m.name for m in pkgutil.walk_packages(watched.__path__, "watched.")])
        print(sorted(m.name for m in pkgutil.iter_modules() if "roken" in m.name))
        """, ["watched"]),
    "inspect": ("import inspect, watched; print(inspect.getsource(watched.function), inspect.getfile(watched))", ["watched"]),
    "resources": ("import importlib.resources as r, watched; print((r.files(watched) / 'sub.py').read_text())", ["watched"]),
    "pickle": ("import pickle, watched; print(pickle.loads(pickle.dumps(watched.function))())", ["watched"]),
    "copied spec": ("import copy, watched; print(sorted(vars(copy.deepcopy(watched.__spec__))))", ["watched"]),
    "threads": ("""
        import threading
        names = ["slow_a", "slow_b", "watched.sub", "zipped", "zipped_too", "slow_a", "slow_b"] * 3
        threads = [threading.Thread(target=__import__, args=(name,)) for name in names]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """, None),
    "another finder in front that asks the others": ("""
        import importlib.util, sys
        class Front:
            busy = False
            def find_spec(self, name, path=None, target=None):
                if self.busy: return None
                self.busy = True
                try: return importlib.util.find_spec(name)
                finally: self.busy = False
        sys.meta_path.insert(0, Front())
        import watched; print(watched.value)
        """, ["watched"]),
    "another finder in front that finds by itself": ("""
        import sys
        from importlib.machinery import PathFinder
        sys.meta_path.insert(0, PathFinder)
        import watched; print(watched.value)
        """, []),
    "a finder added behind": ("""
        import sys
        from importlib.machinery import ModuleSpec
        class Maker:
            def find_spec(self, name, path=None, target=None):
                return ModuleSpec(name, self, origin="nowhere") if name == "made" else None
            def create_module(self, spec): return None
            def exec_module(self, module): module.done = True
        sys.meta_path.append(Maker())
        import made; print(made.__spec__.origin, type(made.__loader__).__name__, vars(made.__loader__))
        """, ["made"]),
    "a finder without find_spec": ("""
        import sys
        class Old:
            def find_module(self, name, path=None): return self if name in ("old", "watched") else None
            def load_module(self, name):
                import types
                sys.modules[name] = module = types.ModuleType(name)
                module.value = module.done = "of old"
                return module
        sys.meta_path.insert(sys.meta_path[0].__class__.__name__ == "Finder", Old())
        import watched; print(watched.value)
        """, ["watched"] if sys.version_info >= (3, 12) else []),
    "a finder that forbids": ("""
        import sys
        class Forbid:
            def find_spec(self, name, path=None, target=None):
                if name == "blocked": raise ImportError("not allowed: " + name, name=name)
        sys.meta_path.insert(sys.meta_path[0].__class__.__name__ == "Finder", Forbid())
        import blocked
        """, []),
    "no such module": ("import watched.no_such_module", ["watched"]),
    "no such name": ("from watched import no_such_name", ["watched"]),
    "a failure, then again": ("""
        try: import broken_once
        except ImportError as error: print(error, error.__context__, error.__traceback__.tb_next.tb_next)
        import broken_once
        """, ["broken_once"]),
    "a failure is caught": ("""
        import sys, traceback
        for name in ("broken_import", "broken_error", "broken_inside", "broken_syntax"):
            try: __import__(name)
            except Exception: traceback.print_exc()
            print(name in sys.modules)
        """, ["watched"]),
    **{name: (f"import {name}", ["watched"] if name in ("broken_import", "broken_from") else [])
        for name in (file.partition("/")[0].removesuffix(".py") for file in PACKAGES)
        if name.startswith("broken") and name != "broken_once"},
}  # fmt: skip
