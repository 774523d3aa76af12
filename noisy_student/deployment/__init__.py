"""Using a trained model outside the pipeline: images of any kind in, predictions, pseudo-labels and exports out.

A model's file is all that is needed. No stage imports this package.
"""
