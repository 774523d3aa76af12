"""What drives DVC: studies over seeds, checks of dvc.yaml, tables of results. The library knows none of it."""
