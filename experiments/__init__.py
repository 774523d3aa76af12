"""What drives DVC: studies, checks of dvc.yaml, tables of results. The library knows none of it."""
