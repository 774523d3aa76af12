"""One file a network; its name is what `model.name` says."""
