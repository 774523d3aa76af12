"""One file a source; its name is what `data.source` says."""
