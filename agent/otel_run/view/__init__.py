"""A person looks at a trace.

Each group of files knows those above it, and none below:

- what was recorded: span.py, read by reading.py; whose part it is: tree.py; conventions.py (what attributes say) and
  labels.py (how a span is called);
- what was waited for: path.py, self_time.py; what is alike: shapes.py, repeats.py;
- what is worth a word: facts.py, notes.py and notes_of_*.py; all of that, line by line: story.py;
- the ways of showing that: draw.py (with branches, line, cells, bars, durations, terminal.py), table.py of
  totals.py, document.py and page/ (JSON and a web page), perfetto.py.

Nothing here imports anything of ours outside this folder, nor OpenTelemetry.
"""
