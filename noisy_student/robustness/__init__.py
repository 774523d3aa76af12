"""How a model fares on changed images: corrupted, perturbed, shifted, attacked."""
