"""What every stage stands on: files, locks, signals, checkpoints, seeds, and where everything lies."""
