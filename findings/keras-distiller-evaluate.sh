#!/usr/bin/env bash
# Keras 3.15.1: evaluating a keras.distillation.Distiller with FeatureDistillation changes the student.
#
# Guess before the run: evaluate (and the validation of fit) runs teacher and student in inference mode, and leaves every
# weight as it is.
# Seen: the student's features are computed by a pass of their own, always in training mode: each evaluate moves the
# statistics of its BatchNormalization towards the evaluated images, so that the second call gives another loss; each
# training step updates them twice, and the features come from another dropout mask than the logits. With
# LogitsDistillation alone nothing moves. Images kept for validation or test thus enter the model.
# For us: students are trained by noisy_student/training, whose validation is in inference mode; docs/how-it-works.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np
from keras.distillation import Distiller, FeatureDistillation, LogitsDistillation

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x, y = random.random((64, 8), "float32"), random.integers(0, 3, 64)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, name="features")(inputs)
    normal = keras.layers.BatchNormalization(name="normal")(hidden)
    return keras.Model(inputs, keras.layers.Dense(3)(normal))


def moved_by_evaluate(distillation):
    student = network()
    model = Distiller(network(), student, distillation_losses=distillation)
    model.compile("sgd", loss=loss)
    before = [weights.copy() for weights in student.get_weights()]
    losses = [float(np.ravel(model.evaluate(x, y, verbose=0, return_dict=True)["student_loss"])[0]) for _ in range(2)]
    names = [weight.path.split("/")[-1] for weight in student.weights]
    changed = [name for name, old, new in zip(names, before, student.get_weights()) if not np.array_equal(old, new)]
    print(f"keras {keras.__version__} {type(distillation).__name__}: student_loss of two evaluations {losses}, ", end="")
    print(f"changed by them: {changed or 'nothing'}")
    return changed


features = moved_by_evaluate(FeatureDistillation(teacher_layer_name="features", student_layer_name="features"))
logits = moved_by_evaluate(LogitsDistillation(2.0))
sys.exit(0 if features == ["moving_mean", "moving_variance"] and not logits else 1)
PYTHON
