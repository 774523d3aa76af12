"""The whole state of a training: saved now and then, restored to the bit."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import keras
import numpy as np

from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.training.phases import Phase

Arrays = list[np.ndarray]


@dataclass
class State:
    """All that a training is at a step. Every field is saved and restored: to add one is enough.

    Order of the data and noise of the input are functions of the step, and the rules that end a training are
    functions of the history: they have no state.
    """

    history: list[dict] = field(default_factory=list)  # a row of the learning curves for every round that is done
    index: int = 0  # steps of the round after them that are done, too
    best: dict[str, Any] | None = None  # the row of the best round
    seconds: float = 0.0  # of training, over all processes that worked on it
    best_weights: Arrays = field(default_factory=list)
    variables: Arrays = field(
        default_factory=list
    )  # optimizer's and random generators' too; only while saved or restored
    metrics: Arrays = field(default_factory=list)  # the running means of the round, likewise

    def step(self, phase: Phase) -> int:
        """How many steps of the phase are done."""
        return len(self.history) * phase.round_steps + self.index

    @classmethod
    def newest(cls, checkpoints: Checkpoints | None) -> Self:
        """The state in the newest checkpoint; that of the start if there is none."""
        loaded = None if checkpoints is None else checkpoints.newest()
        if checkpoints is None or loaded is None:
            return cls()
        checkpoints.resumed_from, arrays, saved = loaded
        for key, array in arrays.items():  # in the order in which they were saved
            saved.setdefault(key.rpartition("_")[0], []).append(array)
        return cls(**saved)

    def save(self, checkpoints: Checkpoints, model: keras.Model, *, number: int, done: str = "") -> None:
        """Write a checkpoint of this state and of all that `model` remembers; `done`: see `Checkpoints.save`."""
        began = time.monotonic()
        if keras.backend.backend() == "jax":  # whose trainer keeps what has become of the variables to itself
            model.jax_state_sync()
        metrics = model.metrics_variables if self.index else []
        scalars = vars(replace(self, variables=_arrays(_variables(model)), metrics=_arrays(metrics)))
        lists = {each.name: scalars.pop(each.name) for each in fields(self) if each.type == Arrays}
        arrays = {f"{name}_{i}": array for name, each in lists.items() for i, array in enumerate(each)}
        checkpoints.save(number, arrays, scalars, done=done, since=began)

    def remember(self, model: keras.Model) -> None:
        """Keep what `model` remembers, for another one that takes its place."""
        if keras.backend.backend() == "jax":  # see `save`
            model.jax_state_sync()
        self.variables = _arrays(_variables(model))

    def restore(self, model: keras.Model) -> None:
        """Put the variables that were loaded, if any, into `model`, once; it has all of them, see `make_variables`."""
        if not self.variables:
            return
        for variable, array in zip(_variables(model), self.variables, strict=True):
            variable.assign(array)
        for variable, array in zip(model.metrics_variables if self.metrics else [], self.metrics, strict=True):
            variable.assign(array)
        self.variables, self.metrics = [], []


def make_variables(model: keras.Model) -> None:
    """Make the optimizer's and the metrics' variables, which Keras makes in the first step else."""
    model.optimizer.build(model.trainable_variables)
    outputs = np.zeros((1, model.output_shape[-1]), np.float32)
    model.compute_metrics(None, outputs, outputs)
    model.reset_metrics()


@contextlib.contextmanager
def saving(
    state: State, checkpoints: Checkpoints | None, model: keras.Model, phase: Phase
) -> Iterator[Callable[..., None]]:
    """Within the block a signal to stop is obeyed at the next moment at which the state can be saved.

    Yields:
        Callable that saves the state if that is due, or `now`. `natural`: see `Checkpoints.due`.

    Raises:
        Stopped: by that callable, when the training was asked to stop.
    """
    began = time.perf_counter() - state.seconds
    with deferred() if checkpoints else contextlib.nullcontext() as requests:

        def save(*, natural=False, now=False):
            state.seconds = time.perf_counter() - began
            if checkpoints is None or requests is None:
                return
            asked = requests.pending()
            if now or asked is not None or checkpoints.due(natural=natural):
                number = state.step(phase)
                done = f"{number:,} of {phase.steps:,} steps of {phase.name}"
                state.save(checkpoints, model, number=number, done=done)
            if asked is not None:
                numbers = checkpoints.numbers()
                where = f"saved at step {numbers[-1]} of {phase.steps}" if numbers else "nothing could be saved"
                raise Stopped(f"{phase.name}: stopped; {where}. Run the same command again to go on.", asked)

        yield save


def _variables(model):
    """Every variable but the metrics': weights, statistics, random generators, optimizer; each once."""
    metrics = {id(variable) for variable in model.metrics_variables}
    unique = {id(variable): variable for variable in (*model.variables, *model.optimizer.variables)}
    return [variable for key, variable in unique.items() if key not in metrics]


def _arrays(variables):
    """Copies: a step overwrites the variables."""
    if keras.backend.backend() == "tensorflow":  # a variable of several devices has no other way
        return [np.array(each.value.numpy()) for each in variables]
    return [np.array(keras.ops.convert_to_numpy(each.value)) for each in variables]
