"""The work of the stages: from their inputs to the files that they leave behind."""
