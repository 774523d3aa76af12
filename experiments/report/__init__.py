"""One self-contained HTML page about the last run and the studies."""
