"""The program's own functions are traced: this package is about those that OTEL_RUN_TRACE names."""
