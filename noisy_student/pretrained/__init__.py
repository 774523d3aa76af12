"""Weights that the teacher starts from: keras.applications' and timm's EfficientNets, and this project's models.

`files` finds the file, `keras_files` and `timm_files` say where each weight of our EfficientNet lies in it, `fitting`
whether it is of the network that params.yaml names, all without Keras; `start` makes the network.
"""
