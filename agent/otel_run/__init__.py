"""The tracing agent behind `otel-run`: traces a Python program that holds no tracing code."""

__version__ = "0.1.0"
