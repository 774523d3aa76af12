"""What people run by hand: `python -m commands.NAME`."""
