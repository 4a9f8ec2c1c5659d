"""Starts the agent in every Python whose PYTHONPATH holds this folder.

Runs the sitecustomize that this one hides, exactly once, and then `otel_run.startup.start()`. Only the
standard library, only syntax that Python 3.6 reads: this file runs in whatever Python the user starts,
and there it must be neither seen nor heard.
"""

import os
import sys


def _here():
    return os.path.dirname(os.path.abspath(__file__))


def _same(folder, other):
    try:
        return os.path.normcase(os.path.realpath(folder or os.curdir)) == os.path.normcase(os.path.realpath(other))
    except (OSError, TypeError, ValueError):  # the current folder was deleted; something that is no folder's name
        return False


def _run_hidden(here):
    """Run the next sitecustomize on the path, as the interpreter would have, and tell whether there is one.

    What it raises passes: the interpreter reports it as it does without us.
    """
    # Not `importlib.machinery`: importing that package costs more than all the rest of this file.
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    behind = list(sys.path)
    for index, folder in enumerate(sys.path):
        if _same(folder, here):
            # Only what comes behind is hidden by us. Another start-up folder of ours may be in front.
            behind = sys.path[index + 1 :]
            break
    behind = [folder for folder in behind if not _same(folder, here)]
    spec = PathFinder.find_spec("sitecustomize", behind)
    # A folder of that name without an __init__ is no sitecustomize: a namespace has no loader to run.
    if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
        return False
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)
    return True


def _is_off():
    # The agent reads these again, with everything else; here they save it from being imported at all.
    sdk = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower()
    own = os.environ.get("OTEL_RUN_ENABLED", "").strip().lower()
    return sdk == "true" or own == "false" or sys.version_info < (3, 10)


def _start(here):
    try:
        # The program's own `import sitecustomize` and its sys.path are as they would be without us;
        # children get this folder from PYTHONPATH in the environment.
        sys.path[:] = [folder for folder in sys.path if not _same(folder, here)]
        if _is_off():
            return
        try:
            from otel_run import startup
        except ImportError:
            _start_from_outside(_package_root(here))
        else:
            startup.start()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - nothing of ours stops the program, not even SystemExit
        _say("not started: %s: %s" % (type(error).__name__, error))


def _start_from_outside(root):
    """Start in another environment than the one we are installed in: last on the path, so theirs wins over ours."""
    sys.path.append(root)
    stays = False
    try:
        from otel_run import startup

        stays = startup.start()
    finally:
        if not stays:
            # pip would take our libraries for installed.
            sys.path.remove(root)


def _package_root(here):
    parent = os.path.dirname(here)
    if os.path.isfile(os.path.join(parent, "agent", "otel_run", "__init__.py")):
        return os.path.join(parent, "agent")
    return os.path.dirname(parent)


def _say(line):
    try:
        sys.stderr.write("otel-run: " + line + "\n")
    except Exception:  # noqa: BLE001 - a closed stderr
        pass


try:
    _found = _run_hidden(_here())
finally:
    _start(_here())

if not _found:
    # Without us `import sitecustomize` would have failed, here and later in the program. `site` passes
    # over an ImportError of this name, so the program finds `sys.modules` as it would be.
    raise ImportError("No module named 'sitecustomize'", name="sitecustomize")
