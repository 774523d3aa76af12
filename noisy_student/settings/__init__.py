"""`params.yaml`: its schema, and what a generation overrides."""
