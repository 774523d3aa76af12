"""Learning-rate schedules and optimizers against hand-worked values."""

import keras
import numpy as np
import pytest

from noisy_student.settings import params
from noisy_student.training import plateau
from noisy_student.training.optimization import WarmUpDecay, make_optimizer, make_schedule
from support import with_values


@pytest.mark.parametrize(
    ("shape", "warmup", "expected"),
    [
        ("linear", 0.0, [1.0, 0.9, 0.5, 0.1]),
        ("linear", 0.2, [0.5, 1.0, 5 / 8, 1 / 8]),
        ("cosine", 0.0, [1.0, (1 + np.cos(0.1 * np.pi)) / 2, 0.5, (1 + np.cos(0.9 * np.pi)) / 2]),
        ("cosine", 0.2, [0.5, 1.0, (1 + np.cos(3 / 8 * np.pi)) / 2, (1 + np.cos(7 / 8 * np.pi)) / 2]),
        ("constant", 0.5, [0.2, 0.4, 1.0, 1.0]),
    ],
)
def test_schedules_by_hand(shape, warmup, expected):
    """Ten steps, peak 2: the rates of steps 0, 1, 5 and 9."""
    schedule = WarmUpDecay(peak=2.0, steps=10, warmup=warmup, shape=shape)
    rates = [float(schedule(step)) / 2.0 for step in (0, 1, 5, 9)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_exponential_schedule_by_hand(digits):
    """A hundred steps: up in 5, then half as much after every 24, as after 2.4 of 10 epochs."""
    fall = {"name": "exponential", "warmup": 0.05, "decay_rate": 0.5, "decay_every": 0.24}
    values = {"teacher.schedule": fall, "teacher.optimizer.learning_rate": 0.128}
    schedule = make_schedule(params.check(with_values(digits, values)).teacher, steps=100)
    rates = [float(schedule(step)) / 0.128 for step in (0, 3, 4, 23, 24, 47, 48, 72, 96, 99)]
    np.testing.assert_allclose(rates, [0.2, 0.8, 1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625], rtol=1e-5)


def _optimizer(digits, **values):
    chosen = with_values(digits, {f"teacher.{key}": value for key, value in values.items()})
    teacher = params.check(chosen).teacher
    return make_optimizer(teacher, make_schedule(teacher, steps=100))


def _step(optimizer, names, gradient):
    variables = [keras.Variable(np.ones(1, np.float32), name=name) for name in names]
    optimizer.build(variables)
    optimizer.apply([keras.ops.convert_to_tensor(np.float32([gradient])) for _ in names], variables)
    return [float(np.asarray(v)[0]) for v in variables]


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_weight_decay_shrinks_kernels_only(digits, name):
    optimizer = _optimizer(
        digits,
        optimizer={"name": name, "learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.1},
        schedule={"name": "constant"},
    )
    kernel, bias, gamma = _step(optimizer, ["kernel", "bias", "gamma"], 0.0)
    assert kernel == pytest.approx(1 - 0.5 * 0.1)  # rate x decay, whatever the gradient
    assert (bias, gamma) == (1.0, 1.0)


def test_sgd_is_nesterov_by_hand(digits):
    optimizer = _optimizer(
        digits,
        optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0},
        schedule={"name": "constant"},
    )
    (kernel,) = _step(optimizer, ["kernel"], 1.0)
    assert kernel == pytest.approx(1 - 0.1 * (1 + 0.9))  # velocity -0.1, then momentum x velocity - rate x g


def test_rmsprop_by_hand(digits):
    optimizer = _optimizer(
        digits,
        optimizer={"name": "rmsprop", "learning_rate": 0.1, "momentum": 0.5, "rho": 0.75, "epsilon": 0.01},
        schedule={"name": "constant"},
    )
    variable = keras.Variable(np.ones(1, np.float32), name="kernel")
    optimizer.build([variable])
    for gradient in (2.0, 1.0):
        optimizer.apply([keras.ops.convert_to_tensor(np.float32([gradient]))], [variable])
    first = 0.1 * 2.0 / np.sqrt(0.25 * 4.0 + 0.01)  # mean square: 1
    second = 0.5 * first + 0.1 * 1.0 / np.sqrt(0.75 * 1.0 + 0.25 * 1.0 + 0.01)  # again 1
    assert float(keras.ops.convert_to_numpy(variable)[0]) == pytest.approx(1 - first - second, rel=1e-5)


STOCK = {
    "sgd": lambda momentum: keras.optimizers.SGD(0.05, momentum=momentum, nesterov=momentum > 0),
    "adam": lambda momentum: keras.optimizers.Adam(0.05),
}


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.9)])
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_fused_steps_are_those_of_keras_optimizers(digits, name, momentum, ema):
    settings = {"name": name, "learning_rate": 0.05, "momentum": momentum, "weight_decay": 0.0}
    constant = {"name": "constant", "warmup": 0.0}
    ours = _optimizer(digits, optimizer=settings, schedule=constant, ema=ema)
    stock = STOCK[name](momentum)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(6, 3, 4))
    ends = []
    for optimizer in (ours, stock):
        variable = keras.Variable(start.astype("float32"), name="kernel")
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [variable])
        ends.append(keras.ops.convert_to_numpy(variable))
    assert np.abs(ends[0] - start).max() > 0.05
    # Adam divides by 1 - 0.999**t, in which float32 leaves 2**-24 / 0.001 t: 3e-5 of a step of 0.05 at first. Two
    # roundings on either side, summed over six steps
    atol = 2e-5 if name == "adam" else 1e-6
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=atol)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("ema", [0.5, 0.99])
def test_the_moving_average_warms_up_by_hand(digits, name, ema):
    """Step 1 makes the average; then min(ema, (1 + t) / (10 + t)) of it stays: 2/11, 3/12, ... until ema is less."""
    settings = {"name": name, "learning_rate": 0.05, "weight_decay": 0.1}
    optimizer = _optimizer(digits, optimizer=settings, schedule={"name": "constant"}, ema=ema)
    rng = np.random.default_rng(1)
    variables = [keras.Variable(rng.normal(size=shape).astype("float32"), name="kernel") for shape in [(3, 4), (5,)]]
    optimizer.build(variables)
    path = []
    for _ in range(24):
        gradients = [rng.normal(size=each.shape).astype("float32") for each in variables]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
        path.append([keras.ops.convert_to_numpy(each).astype(np.float64) for each in variables])
    optimizer.finalize_variable_values(variables)
    for place, variable in enumerate(variables):
        weights = np.stack([step[place] for step in path])
        average = weights[0]
        for t in range(1, 24):
            decay = min(ema, (1 + t) / (10 + t))
            average = decay * average + (1 - decay) * weights[t]
        found = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
        assert np.abs(found - weights[-1]).max() > 0.01
        assert (found >= weights.min(axis=0) - 1e-6).all(), "within the path"
        assert (found <= weights.max(axis=0) + 1e-6).all(), "within the path"


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_the_average_of_weights_that_stay_is_the_weights(digits, name):
    settings = {"name": name, "learning_rate": 0.05, "weight_decay": 0.0}
    optimizer = _optimizer(digits, optimizer=settings, schedule={"name": "constant"}, ema=0.999)
    start = np.random.default_rng(2).normal(size=(50,)).astype("float32")
    variable = keras.Variable(start, name="kernel")
    optimizer.build([variable])
    for _ in range(30):
        optimizer.apply([keras.ops.zeros(50)], [variable])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), start)
    optimizer.finalize_variable_values([variable])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), start)


def test_the_moving_average_keeps_the_optimizer_of_the_backend(digits):
    """On PyTorch Keras replaces its optimizers by fused ones, which a subclass of them would lose."""
    for name in ("sgd", "adam", "rmsprop"):
        plain, averaged = (_optimizer(digits, **{"optimizer.name": name}, ema=ema) for ema in (0.0, 0.9))
        assert isinstance(averaged, type(plain))


def test_article_uses_adam_at_keras_defaults(monkeypatch):
    from commands import preset as presets
    from support import ROOT

    monkeypatch.chdir(ROOT)
    article = params.check(presets.parameters("cifar10-article"))
    optimizer = make_optimizer(article.student, make_schedule(article.student, steps=10))
    default = keras.optimizers.Adam().get_config()
    assert {**optimizer.get_config(), "name": ""} == {**default, "name": ""}


def _schedule(digits, **values):
    schedule = {"name": "constant", **values}
    changes = {"epochs": 60, "steps": None, "validate_every": None, "schedule": schedule}
    return params.check(with_values(digits, {f"teacher.{k}": v for k, v in changes.items()})).teacher.schedule


class _Model:
    def __init__(self):
        self.optimizer = keras.optimizers.SGD(1.0)
        self.stop_training = False


def _by_keras(losses, schedule):
    """Which rounds reduce the rate, and the one that stops, by Keras' own callbacks; counted from 1."""
    first = schedule.plateau_from_epoch
    reducing = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.1, patience=schedule.plateau_patience)
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=schedule.stop_patience, start_from_epoch=first - 1
    )
    model, rate, reduced = _Model(), 1.0, []
    for callback in (reducing, stopping):
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        if epoch + 1 >= first:
            reducing.on_epoch_end(epoch, {"val_loss": loss})
        stopping.on_epoch_end(epoch, {"val_loss": loss})
        if float(model.optimizer.learning_rate) < rate:
            rate = float(model.optimizer.learning_rate)
            reduced.append(epoch + 1)
        if model.stop_training:
            return reduced, epoch + 1
    return reduced, None


def _by_ours(losses, schedule):
    history, reduced = [], []
    for epoch, loss in enumerate(losses, start=1):
        history.append({"validation_loss": loss})
        if plateau.reduces(history, schedule):
            reduced.append(epoch)
        if plateau.stops(history, schedule):
            return reduced, epoch
    return reduced, None


@pytest.mark.parametrize(("first", "patience", "stop"), [(1, 1, 9), (1, 3, 7), (5, 3, 10), (9, 2, 3)])
def test_plateau_rules_are_those_of_keras(digits, first, patience, stop):
    """Losses that fall by less than 1e-4, by more, that rise, and that differ only beyond single precision."""
    schedule = _schedule(digits, plateau_from_epoch=first, plateau_patience=patience, stop_patience=stop)
    rng, seen = np.random.default_rng(first), set()
    for _ in range(20):
        falls = rng.choice([0.1, 2e-4, 1.01e-4, 0.99e-4, 1e-9, 0.0, -0.05], 40, p=[0.1] + [0.15] * 6)
        losses = [float(loss) for loss in 1.0 - np.cumsum(falls)]
        expected = _by_keras(losses, schedule)
        assert _by_ours(losses, schedule) == expected
        seen.add((bool(expected[0]), expected[1] is not None))
    assert (True, True) in seen, "some must reduce the rate and stop"


def test_without_plateau_rules_nothing_happens(digits):
    assert _by_ours([1.0] * 40, _schedule(digits)) == ([], None)


def test_plateau_sleeps_before_its_first_epoch(digits):
    """By hand: the loss is lowest at the start, but what counts begins at epoch 5: stop 5 epochs after that."""
    losses = [1.0, *[2.0] * 19]
    asleep = _schedule(digits, plateau_from_epoch=5, plateau_patience=3, stop_patience=5)
    assert _by_ours(losses, asleep) == ([8], 10)
    awake = _schedule(digits, plateau_from_epoch=1, plateau_patience=3, stop_patience=7)
    assert _by_ours(losses, awake) == ([4, 7], 8)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_a_last_layer_learns_alone_where_all_else_is_frozen(digits, name):
    chosen = {"name": name, "learning_rate": 0.1, "weight_decay": 0.1}
    optimizer = _optimizer(digits, optimizer=chosen, schedule={"name": "cosine"}, body_rate=0.2)
    layer = keras.layers.Dense(2, name="logits")
    layer.build((None, 4))
    optimizer.build(layer.trainable_weights)
    before = [keras.ops.convert_to_numpy(variable) for variable in layer.trainable_weights]
    ones = [keras.ops.ones(variable.shape) for variable in layer.trainable_weights]
    optimizer.apply(ones, layer.trainable_weights)
    after = [keras.ops.convert_to_numpy(variable) for variable in layer.trainable_weights]
    assert all((one != other).all() for one, other in zip(before, after, strict=True))
    assert optimizer.weight_decay == 0.1


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_the_body_moves_as_by_a_smaller_rate(digits, name, ema):
    """Three steps by given gradients: the last layer as at the rate, the rest as at a fifth of it, decay and all."""

    def moved(share, rate):
        chosen = {"name": name, "learning_rate": rate, "weight_decay": 0.1}
        optimizer = _optimizer(digits, optimizer=chosen, schedule={"name": "cosine"}, body_rate=share, ema=ema)
        draw = np.random.default_rng(0)
        variables = []
        for layer in (keras.layers.Dense(3, name="stem_conv"), keras.layers.Dense(2, name="logits")):
            layer.build((None, 4))
            variables += layer.trainable_weights
        for variable in variables:
            variable.assign(draw.normal(size=variable.shape))
        optimizer.build(variables)
        for _ in range(3):
            gradients = [keras.ops.convert_to_tensor(draw.normal(size=v.shape), "float32") for v in variables]
            optimizer.apply(gradients, variables)
        if ema:
            optimizer.finalize_variable_values(variables)
        return [keras.ops.convert_to_numpy(variable) for variable in variables]

    slowed, slow, fast = moved(0.2, 0.1), moved(1.0, 0.02), moved(1.0, 0.1)
    assert np.abs(slow[0] - fast[0]).max() > 1e-3
    for one, expected in zip(slowed, [*slow[:2], *fast[2:]], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)
