"""The whole state of a training: saved now and then, restored to the bit."""

import time

import keras
import numpy as np

from noisy_student.runtime.signals import Stopped
from noisy_student.training.callbacks import synchronise

_RULES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.EarlyStopping)
# what they remember between epochs
_REMEMBERED = ("best", "wait", "cooldown_counter", "stopped_epoch", "best_epoch")


class Snapshots(keras.callbacks.Callback):
    """Save the state of a training at the end of its rounds, within them, and when it is asked to stop.

    A state is all a training is at a step: weights, optimizer (with momentum, moving average and learning
    rate), the states of all random generators, running means of the round, the learning curves, the best
    weights, and what the plateau rules remember. Order of the data and noise of the input are functions of
    the step. Must be the last callback: what the others do at the end of a round is part of the state.

    Args:
        kept: checkpoints.Checkpoints.
        batches: training.batches.TrainingBatches, that know the round and where in it the fit starts.
        validation: callbacks.Validation.
        callbacks: all others of the training.
        requests: signals.Requests.
        name: of the training.
        steps: of the whole training.
    """

    def __init__(self, kept, *, batches, validation, callbacks, requests, name, steps):
        super().__init__()
        self.kept, self.batches, self.validation = kept, batches, validation
        self.rules = [callback for callback in callbacks if isinstance(callback, _RULES)]
        self.requests, self.name, self.steps = requests, name, steps
        self.state = None  # restored before the first step of the next fit
        self.seconds = 0.0  # of training before this process
        self._start = time.perf_counter()

    @property
    def position(self):
        """Where to go on: (round, step in it, whether the plateau rules have ended the training)."""
        if self.state is None:
            return 0, 0, False
        meta = self.state[1]
        return meta["round"], meta["index"], meta["stopped"]

    @property
    def seconds_so_far(self):
        """Seconds of training, over all processes that worked on it."""
        return self.seconds + time.perf_counter() - self._start

    def load(self):
        """Take the newest checkpoint, if there is one, as the state to go on from."""
        found = self.kept.newest()
        if found is None:
            return
        number, arrays, meta = found
        self.state, self.seconds = (arrays, meta), meta["seconds"]
        self.kept.resumed_from = number
        self.validation.restore(arrays, meta["validation"])
        print(f"{self.name}: resumed_from_step={number} of {self.steps}", flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        """Restore the state, once."""
        if self.state is not None:
            self._restore(*self.state)
            self.state = None

    def on_train_batch_end(self, batch, logs=None):
        """Save within a round, if it is time or the training shall stop."""
        index = self.batches.start + batch + 1
        if index == self.batches.round_steps:
            return  # on_epoch_end follows
        asked = self.requests.pending()
        if asked is not None or self.kept.due():
            self._save(self.batches.round, index)
            self._stop(asked)

    def on_epoch_end(self, epoch, logs=None):
        """Save at the end of a round."""
        if self.batches.start:  # the fit ends here and leaves the moving average in the model: keep the rest
            self.state = self.capture(epoch + 1, 0)
        asked = self.requests.pending()
        if asked is not None or self.kept.due(natural=True):
            self._save(epoch + 1, 0)
            self._stop(asked)

    def capture(self, round_number, index):
        """The state as (arrays, meta) before step `index` of a round."""
        synchronise(self.model)
        arrays = {f"variable_{i}": _array(v) for i, v in enumerate(_variables(self.model))}
        if index:
            arrays |= {f"metric_{i}": _array(v) for i, v in enumerate(self.model.metrics_variables)}
        best, validation = self.validation.state()
        meta = {
            "round": round_number,
            "index": index,
            "step": round_number * self.batches.round_steps + index,
            "stopped": bool(self.model.stop_training),
            "rules": [_remembered(rule) for rule in self.rules],
            "validation": validation,
            "seconds": self.seconds_so_far,
        }
        return arrays | best, meta

    def save_end(self, rounds):
        """Save that all rounds are done: what follows need not do them again."""
        self._save(rounds, 0)

    def _save(self, round_number, index):
        start = time.monotonic()
        arrays, meta = self.capture(round_number, index)
        self.kept.save(meta["step"], arrays, meta, since=start)

    def _stop(self, asked):
        if asked is None:
            return
        numbers = self.kept.numbers()
        where = f"saved at step {numbers[-1]} of {self.steps}" if numbers else "nothing could be saved"
        raise Stopped(f"{self.name}: stopped; {where}. Run the same command again to go on.", asked)

    def _restore(self, arrays, meta):
        self._build()
        for i, variable in enumerate(_variables(self.model)):
            variable.assign(arrays[f"variable_{i}"])
        if meta["index"]:
            for i, variable in enumerate(self.model.metrics_variables):
                variable.assign(arrays[f"metric_{i}"])
        for rule, values in zip(self.rules, meta["rules"], strict=True):
            for name, value in values.items():
                setattr(rule, name, value)

    def _build(self):
        """Make the optimizer's and the metrics' variables, which Keras makes in the first step."""
        self.model.optimizer.build(self.model.trainable_variables)
        _, targets, weights = self.batches[0]
        self.model.compute_metrics(None, targets, np.full_like(targets, 0.5), sample_weight=weights)
        self.model.reset_metrics()


def _variables(model):
    """Every variable but the metrics': weights, statistics, random generators, optimizer; each once."""
    metrics = {id(variable) for variable in model.metrics_variables}
    found = {id(v): v for v in (*model.variables, *model.optimizer.variables)}
    return [variable for key, variable in found.items() if key not in metrics]


def _array(variable):
    return np.array(keras.ops.convert_to_numpy(variable.value))  # a copy: the next step overwrites it


def _remembered(rule):
    values = {name: getattr(rule, name) for name in _REMEMBERED if hasattr(rule, name)}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
