"""The README's table of settings, made from `variables.ROWS`: `python -m settings.readme_table` in tests/ prints it."""

from __future__ import annotations

from otel_run import variables

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """Return the table in Markdown, one line for each row."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for row in variables.ROWS:
        names = "<br>".join(f"`{variable}`" for variable in row.variables)
        lines.append(f"| {names} | {_default(row)} | {row.meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _default(row: variables.Row) -> str:
    if row.shown_default:
        return row.shown_default
    if isinstance(row.default, bool):
        return f"`{str(row.default).lower()}`"
    if isinstance(row.default, tuple):
        return f"`{','.join(row.default)}`" if row.default else "none"
    return f"`{row.default}`" if row.default not in (None, {}) else "none"


if __name__ == "__main__":
    print(f"{BEGIN}\n{table()}\n{END}")
