"""What is run is told from the arguments: whether it is a tool, and what the service is called."""

from __future__ import annotations

import pytest

from otel_run.startup.program import is_tool, running
from otel_run.startup.service import service_name
from otel_run.variables import TOOLS

# sys.orig_argv -> (kind, short name, is it a tool, service name)
COMMANDS = {
    "python app.py": ("script", "app", False, "app"),
    "python -W error -X utf8 -Bu /srv/shop.py --x": ("script", "shop", False, "shop"),
    "python -Werror -Xutf8 shop.py": ("script", "shop", False, "shop"),
    "python -m store.orders -x": ("module", "store.orders", False, "store.orders"),
    "python -mstore": ("module", "store", False, "store"),
    "python -Im pip install x": ("module", "pip", True, "pip"),
    "python -m pip.__main__": ("module", "pip", True, "pip"),
    "python -m json.tool": ("module", "json.tool", True, "json.tool"),
    "python -m jsonschema": ("module", "jsonschema", False, "jsonschema"),
    "python /venv/bin/pip3.11 install x": ("script", "pip3.11", True, "pip3.11"),
    "python /venv/bin/mypy": ("script", "mypy", True, "mypy"),
    "python build.py": ("script", "build", False, "build"),
    "python /srv/bin/site.py": ("script", "site", False, "site"),
    "python ./build": ("script", "build", False, "build"),
    "python -c print(1)": ("code", "", False, "unknown_service:python"),
    "python -": ("stdin", "", False, "unknown_service:python"),
    "python": ("stdin", "", False, "unknown_service:python"),
    "python -i -q": ("stdin", "", False, "unknown_service:python"),
    "python /srv/app/__main__.py": ("script", "app", False, "app"),
    "python /srv/app.pyz": ("script", "app", False, "app"),
    "python /srv/shop/manage.py runserver": ("script", "manage", False, "shop"),
    "python /venv/bin/gunicorn -w 4 --bind 0.0.0.0:80 orders.wsgi:app": ("script", "gunicorn", False, "orders"),
    "python /venv/bin/gunicorn orders.wsgi:create(debug=True)": ("script", "gunicorn", False, "orders"),
    "python /venv/bin/gunicorn -b :8000 orders.wsgi": ("script", "gunicorn", False, "orders"),
    "python -m uvicorn shop.main:app --port 80": ("module", "uvicorn", False, "shop"),
    "python /venv/bin/celery -A tasks.app worker": ("script", "celery", False, "tasks"),
    "python /venv/bin/celery --app=tasks worker": ("script", "celery", False, "tasks"),
    "python -m celery -Atasks worker": ("module", "celery", False, "tasks"),
    "python /venv/bin/flask --app web/shop.py run": ("script", "flask", False, "shop"),
    "python /venv/bin/flask run": ("script", "flask", False, "flask"),
    "python --check-hash-based-pycs always app.py": ("script", "app", False, "app"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_program(command: str) -> None:
    kind, short_name, tool, service = COMMANDS[command]
    program = running(command.split(" "))
    assert (program.kind, program.short_name) == (kind, short_name)
    assert is_tool(program, TOOLS.split()) == tool
    assert service_name(program) == service
