"""Studies: questions answered by experiments with several arms and seeds; see docs/studies.md."""
