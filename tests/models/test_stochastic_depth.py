import keras
import numpy as np
import pytest
from scipy import stats

from noisy_student import backends
from noisy_student.models.stochastic_depth import SkippableBranch, StochasticDepth, survival_schedule

BRANCH = np.random.default_rng(0).uniform(1, 2, (5, 2, 3, 4)).astype("float32")


def layer(coin="batch", survival_probability=0.7, **changes):
    return StochasticDepth(
        survival_probability=survival_probability, coin=coin, **{"seed": 1, "dtype": "float32", **changes}
    )


def train(layer, branch):
    return keras.ops.convert_to_numpy(layer(branch, training=True))


def kept_images(result):
    """(N,) whether each image of BRANCH was kept whole; anything but whole or gone fails."""
    kept = (result == BRANCH).all(axis=(1, 2, 3))
    gone = (result == 0).all(axis=(1, 2, 3))
    assert (kept ^ gone).all()
    return kept


def test_schedule_by_hand():
    # p_l = 1 - (l / 4) (1 - 0.8)
    assert survival_schedule(4, 0.8) == pytest.approx([0.95, 0.9, 0.85, 0.8], abs=1e-12)
    assert survival_schedule(3, 1.0) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1])
def test_schedule_refuses_what_is_no_probability(probability):
    with pytest.raises(ValueError, match="survival_probability"):
        survival_schedule(3, probability)


def test_inference_scales_by_the_survival_probability():
    np.testing.assert_allclose(layer()(BRANCH, training=False), 0.7 * BRANCH, rtol=1e-6)
    np.testing.assert_allclose(layer()(BRANCH), 0.7 * BRANCH, rtol=1e-6)


def test_batch_coin_is_shared_and_survives_with_p():
    depth = layer("batch")
    coins = [kept_images(train(depth, BRANCH)) for _ in range(400)]
    assert all(coin.all() or not coin.any() for coin in coins)
    # p-value of 1e-4: one honest seed in 10,000 would fail; p = 0.6 or 0.8 fails in almost all
    assert stats.binomtest(sum(bool(coin[0]) for coin in coins), 400, 0.7).pvalue > 1e-4


def test_sample_coins_are_independent_and_survive_with_p():
    depth = layer("sample")
    coins = np.array([kept_images(train(depth, BRANCH)) for _ in range(200)])  # (200, 5)
    assert stats.binomtest(int(coins.sum()), coins.size, 0.7).pvalue > 1e-4
    # kept images of a call follow the binomial distribution only if the coins are independent
    observed = np.bincount(coins.sum(axis=1), minlength=6)
    expected = 200 * stats.binom.pmf(np.arange(6), 5, 0.7)
    merged = [np.r_[counts[:3].sum(), counts[3:]] for counts in (observed, expected)]
    assert stats.chisquare(*merged).pvalue > 1e-4


def test_noise_depends_on_the_seed_only():
    def coins(seed):
        depth = layer(seed=seed)
        return [bool(train(depth, BRANCH).any()) for _ in range(40)]

    assert coins(1) == coins(1)
    assert coins(1) != coins(2)


def test_sample_coins_work_where_the_batch_size_is_unknown():
    inputs = keras.Input((2, 3, 4))
    model = keras.Model(inputs, layer("sample", 1e-6)(inputs))
    assert model.output.shape == (None, 2, 3, 4)
    np.testing.assert_allclose(model.predict(BRANCH, batch_size=2, verbose=0), 1e-6 * BRANCH, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_stays_bfloat16(training):
    result = layer("sample", dtype="mixed_bfloat16")(BRANCH, training=training)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"


def test_config_round_trip():
    depth = layer("sample", 0.7, seed=5)
    again = StochasticDepth.from_config(depth.get_config())
    assert (again.survival_probability, again.coin, again.seed) == (0.7, "sample", 5)
    np.testing.assert_array_equal(train(again, BRANCH), train(depth, BRANCH))


def test_unknown_coin():
    with pytest.raises(ValueError, match="'image'"):
        layer("image")


class Counted(keras.layers.Layer):
    """Doubles its input and counts how often it is computed."""

    computed = 0

    def call(self, x):
        self.computed += 1
        return 2.0 * x


def skippable(survival_probability, *, layers, dtype="float32"):
    source = x = keras.Input((2, 3, 4), dtype=keras.DTypePolicy(dtype).compute_dtype)
    for each in layers:
        x = each(x)
    return SkippableBranch(keras.Model(source, x), survival_probability=survival_probability, seed=1, dtype=dtype)


def test_skippable_branch_is_shortcut_plus_branch_or_the_shortcut_alone():
    block = skippable(0.7, layers=[Counted()])
    shortcut = np.ones_like(BRANCH)
    results = [keras.ops.convert_to_numpy(block(shortcut, BRANCH, training=True)) for _ in range(300)]
    alive = [(result == shortcut + 2 * BRANCH).all() for result in results]
    gone = [(result == shortcut).all() for result in results]
    assert (np.array(alive) ^ np.array(gone)).all()
    assert stats.binomtest(sum(alive), 300, 0.7).pvalue > 1e-4
    inference = keras.ops.convert_to_numpy(block(shortcut, BRANCH))
    np.testing.assert_allclose(inference, shortcut + 0.7 * 2 * BRANCH, rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX traces both sides before it runs one")
def test_a_skipped_branch_is_not_computed():
    counted = Counted()
    block = skippable(0.5, layers=[counted])
    before, alive = counted.computed, 0
    for _ in range(60):
        result = keras.ops.convert_to_numpy(block(BRANCH, BRANCH, training=True))
        alive += bool((result != BRANCH).any())
    assert 0 < alive < 60
    assert counted.computed - before == alive


def test_a_skipped_branch_keeps_its_statistics_and_its_weights_also_when_compiled():
    normalise = keras.layers.BatchNormalization(momentum=0.5)
    source = keras.Input((2, 3, 4))
    branch = keras.Model(source, normalise(keras.layers.Conv2D(4, 1)(source)))
    block = SkippableBranch(branch, survival_probability=0.5, seed=1)
    model = keras.Model(source, block(source, source))
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    outcomes = set()
    for _ in range(30):
        before = [keras.ops.convert_to_numpy(normalise.moving_mean), branch.layers[1].get_weights()[0]]
        loss = float(model.train_on_batch(BRANCH, np.zeros_like(BRANCH)))
        after = [keras.ops.convert_to_numpy(normalise.moving_mean), branch.layers[1].get_weights()[0]]
        skipped = loss == pytest.approx(float((BRANCH**2).mean()), rel=1e-5)
        outcomes.add(skipped)
        moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
        assert moved == [not skipped, not skipped]
    assert outcomes == {True, False}


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, None])
def test_a_skipped_branch_decays_and_goes_on_by_its_momentum(optimizer):
    """A gradient of zero, not a missing one, which Keras' optimizers would pass over; None: the backend's."""
    optimizer = optimizer or backends.current().OPTIMIZERS["sgd"]
    source = keras.Input((2, 3, 4))
    branch = keras.Model(source, keras.layers.Dense(4)(source))
    block = SkippableBranch(branch, survival_probability=0.5, seed=1)
    model = keras.Model(source, block(source, source))
    rate, momentum, decay = 0.1, 0.5, 0.25
    model.compile(optimizer(rate, momentum=momentum, weight_decay=decay), loss="mse")
    outcomes, before = [], np.zeros(())
    for _ in range(12):
        old = branch.layers[1].get_weights()[0]
        loss = float(model.train_on_batch(BRANCH, np.zeros_like(BRANCH)))
        after = branch.layers[1].get_weights()[0] - old * (1 - rate * decay)  # the step by the momentum
        outcomes.append(loss == pytest.approx(float((BRANCH**2).mean()), rel=1e-5))
        if outcomes[-1]:
            np.testing.assert_allclose(after, np.broadcast_to(momentum * before, old.shape), atol=1e-6)
        before = after
    assert [False, True] in [outcomes[i : i + 2] for i in range(11)]  # skipped while there was momentum


def test_skippable_branch_in_bfloat16_and_its_config_round_trip():
    block = skippable(0.7, layers=[keras.layers.Dense(4, dtype="mixed_bfloat16")], dtype="mixed_bfloat16")
    result = block(BRANCH, BRANCH, training=True)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
    assert (again.survival_probability, again.seed) == (0.7, 1)
    assert [type(layer) for layer in again.branch.layers] == [type(layer) for layer in block.branch.layers]
