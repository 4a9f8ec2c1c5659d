"""What must not leave the process, found in SQL, URLs, headers and Redis' commands. Knows nothing of spans."""
