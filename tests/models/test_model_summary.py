import keras

from noisy_student.models.build import block_survival, build
from noisy_student.models.summary import macs, summarise
from noisy_student.settings.schema import ModelParams


def test_macs_by_hand():
    images = keras.Input((5, 7, 3))
    x = keras.layers.Conv2D(4, (3, 1), strides=2, padding="same")(images)  # -> (3, 4, 4): 12 places
    x = keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x))
    assert macs(keras.Model(images, x)) == 3 * 1 * 3 * 4 * 12 + 4 * 6


def test_summary_by_hand():
    params = ModelParams(name="resnet", depth=8, width=2)
    model = build(params, classes=3, image_size=8, survival_probability=0.4, mode="inference")
    summary = summarise(model, survival=block_survival(params, 0.4))
    survival = summary.pop("survival_probability")
    assert {block: round(p, 12) for block, p in survival.items()} == {
        "stage1_block1": 0.8,
        "stage2_block1": 0.6,
        "stage3_block1": 0.4,
    }
    convolutions = 3 * 9 * 2 + 2 * 9 * 2 * 2 + (9 * 2 * 4 + 9 * 4 * 4 + 2 * 4) + (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8)
    normalised = 2 + 2 * 2 + 3 * 4 + 3 * 8
    assert summary == {
        "name": "resnet_8_2",
        "classes": 3,
        "image_size": 8,
        "parameters": convolutions + 4 * normalised + 8 * 3 + 3,
        "trainable_parameters": convolutions + 2 * normalised + 8 * 3 + 3,
        "macs": 64 * (54 + 72) + 16 * (72 + 144 + 8) + 4 * (288 + 576 + 32) + 24,
    }
