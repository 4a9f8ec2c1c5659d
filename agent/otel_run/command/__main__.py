"""`python -m otel_run.command`, for where the script `otel-run` is not on PATH."""

import sys

from otel_run.command import main

sys.exit(main())
