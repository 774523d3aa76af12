#!/usr/bin/env bash
# Keras 3.15.1: keras.distillation.Distiller takes sample weights and regularizers, and obeys neither.
#
# Guess before the run: fit(sample_weight=...) weighs the student's loss, as it does for every model, and the penalties of
# the student's kernel_regularizer are part of what is minimised.
# Seen: with all weights 0 the student learns as without; losses are the same to the last digit. A student with an L2
# penalty of several units has a loss without it, though distiller.losses names it. Nothing is said. So a weight for
# pseudo-labelled images (or class_weight) does nothing there, and weight decay has to be the optimizer's.
# For us: students are trained by noisy_student/training, which weighs pseudo-labelled images by student.unlabelled_weight
# and adds penalties; docs/how-it-works.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np
from keras.distillation import Distiller, LogitsDistillation

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x, y = random.random((64, 8), "float32"), random.integers(0, 3, 64)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(regularizer=None):
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, "relu", kernel_regularizer=regularizer)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(hidden))


def distiller(student):
    model = Distiller(network(), student, distillation_losses=LogitsDistillation(2.0))
    model.compile("sgd", loss=loss)
    return model


plain = network()
model = distiller(plain)
usual = model.evaluate(x, y, verbose=0)
weighed = model.evaluate(x, y, sample_weight=np.zeros(64), verbose=0)
before = plain.get_weights()[0]
model.fit(x, y, sample_weight=np.zeros(64), verbose=0)
moved = float(np.abs(plain.get_weights()[0] - before).max())
print(f"keras {keras.__version__}: loss {np.ravel(usual)[0]:.6f}, with weights of 0 {np.ravel(weighed)[0]:.6f}; ", end="")
print(f"one epoch with weights of 0 moves the kernel by {moved:.6f}")

decayed = network(keras.regularizers.L2(1.0))
model = distiller(decayed)
reported = model.evaluate(x, y, verbose=0, return_dict=True)
parts = 0.5 * reported["student_loss"] + 0.5 * reported["distillation_loss"]
penalty = float(sum(model.losses))
print(f"with a penalty of {penalty:.3f}: loss {reported['loss']:.6f}, the sum of both other parts {parts:.6f}")
ignored = np.allclose(usual, weighed) and moved > 0 and penalty > 1 and np.isclose(reported["loss"], parts)
sys.exit(0 if ignored else 1)
PYTHON
