"""A person looks at a trace: a tree (tree.py) and its lines (draw.py), neither of which knows of OpenTelemetry."""
