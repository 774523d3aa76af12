"""One file a stage: from its inputs to the files that it leaves behind."""
