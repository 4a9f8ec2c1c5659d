"""Libraries get wrapped: which ones (candidates), when (on_import), and how (wrap)."""
