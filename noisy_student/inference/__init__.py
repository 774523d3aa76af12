"""Trained models: reading and writing them, their distributions, and metrics of these."""
