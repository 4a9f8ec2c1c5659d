"""What the tests talk to: an HTTP server, an OTLP receiver that is not ours, programs under `otel-run`."""
