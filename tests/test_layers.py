"""Training forms of layers against the Keras layers they stand in for, and the training step's objective by hand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from slotwise import models
from slotwise.engines import arithmetic
from slotwise.engines.engine import CONFUSION_CLASSES
from slotwise.engines.tensorflow.collective import Slots, alone
from slotwise.engines.tensorflow.evaluation import Evaluator
from slotwise.engines.tensorflow.layers import FORMS, SlotBatchNormalization, SlotDropout, _keep_mask
from slotwise.engines.tensorflow.normalisation import block_shape
from slotwise.engines.tensorflow.optimizers import FusedAdam
from slotwise.engines.tensorflow.step import TrainingStep, buckets
from slotwise.engines.training_copy import Pooling, SlotContext, training_copy
from slotwise.errors import UsageError
from slotwise.evaluation.scores import softmax
from slotwise.feed.pipeline import NO_SAMPLE, Batch
from slotwise.inference.classifier import Classifier

ALONE = alone()
IMAGES = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), np.uint8)
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@pytest.fixture
def float64() -> Iterator[None]:
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def drawn(*shape: int, dtype: str = "float32", seed: int = 3) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0.5, 2.0, shape), dtype)


def context_of(keys: tf.Tensor, slots: Slots = ALONE) -> SlotContext:
    context = SlotContext(slots)
    context.keys = keys
    return context


def some_keys(count: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).integers(0, 2**62, count), tf.int64)


def outcome(layer: layers.BatchNormalization, apply: Callable[..., tf.Tensor], x: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
    """All that a step of training does with a normalisation, and what it gives at inference after it; `apply` is the layer and what follows."""
    values = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([x, *values])
        outputs = apply(x, training=True)
    gradients = tape.gradient(outputs, [x, *values], upstream)
    return [outputs, *gradients, layer.moving_mean.value, layer.moving_variance.value, apply(x, training=False)]


def assert_alike(all_expected: list[tf.Tensor], all_found: list[tf.Tensor], tolerance: float) -> None:
    names = ["outputs", "input gradient", *["weight gradient"] * (len(all_expected) - 5), "moving mean", "moving variance", "inference"]
    for name, expected, found in zip(names, all_expected, all_found, strict=True):
        scale = max(float(tf.reduce_max(tf.abs(expected))), 1.0)
        np.testing.assert_allclose(found.numpy() / scale, expected.numpy() / scale, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "epsilon": 1e-2}, {"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str)
@pytest.mark.parametrize("shape", [(12, 5, 4, 3), (12, 7), (1, 4), (3, 64, 64, 8), (3, 61, 61, 9), (3, 16, 16, 64), (3, 16384)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normalisation_is_that_of_keras(dtype: str, shape: tuple[int, ...], options: dict[str, object]) -> None:
    x, upstream = drawn(*shape, dtype=dtype), drawn(*shape, dtype=dtype, seed=4)
    outcomes = []
    for kind in (layers.BatchNormalization, SlotBatchNormalization):
        layer = kind(dtype=dtype, **options)
        layer.build(x.shape)
        layer.set_weights([drawn(shape[-1], dtype=dtype, seed=number).numpy() ** 2 for number in range(len(layer.weights))])
        if kind is SlotBatchNormalization:
            layer.context = context_of(some_keys(shape[0]))
        outcomes.append(outcome(layer, layer, x, upstream))
    assert_alike(*outcomes, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(64, 8, 8, 3), (3, 64, 64, 8)], ids=["as it is", "compiled"])
def test_a_variance_much_smaller_than_the_mean_is_not_lost_to_rounding(shape: tuple[int, ...]) -> None:
    x = 1000.0 + 0.1 * drawn(*shape)
    layer = SlotBatchNormalization(momentum=0.0)
    layer.context = context_of(some_keys(shape[0]))
    layer.build(shape)
    layer(x, training=True)
    exact = tf.cast(x, tf.float64).numpy().reshape(-1, shape[-1])
    np.testing.assert_allclose(layer.moving_variance, exact.var(0), rtol=1e-3)
    np.testing.assert_allclose(layer.moving_mean, exact.mean(0), atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(12, 5, 4, 3), (3, 64, 64, 8), (3, 61, 61, 9), (3, 16, 16, 64)], ids=str)
def test_halves_are_summed_in_single_precision(dtype: str, shape: tuple[int, ...]) -> None:
    """The statistics are those of the values as they are, and only outputs and the input's gradient are rounded."""
    x, upstream = (tf.cast(drawn(*shape, dtype="float32", seed=seed), dtype) for seed in (3, 4))
    outcomes = []
    for policy in ("float32", f"mixed_{dtype}"):
        layer = SlotBatchNormalization(dtype=policy)
        layer.context = context_of(some_keys(shape[0]))
        layer.build(x.shape)
        layer.set_weights([drawn(shape[-1], dtype="float32", seed=number).numpy() ** 2 for number in range(4)])
        of_policy = [tf.cast(value, layer.compute_dtype) for value in (x, upstream)]
        outcomes.append([tf.cast(value, tf.float32) for value in outcome(layer, layer, *of_policy)])
    rounded, exact = {0, 1, 6}, TOLERANCE["float32"]
    for number, (expected, found) in enumerate(zip(*outcomes, strict=True)):
        np.testing.assert_allclose(found, expected, rtol=2.0**-7 if number in rounded else 0, atol=0.02 if number in rounded else exact * np.abs(expected).max())


@pytest.fixture(params=[0.5, 2.0], ids=["16 bits slower", "16 bits faster"])
def speed_of_halves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(arithmetic, "speed", lambda dtype: request.param)
    return float(request.param)


def assert_rounded(found: tf.Tensor, exact: tf.Tensor, dtype: str) -> None:
    """Each number is the nearest of its dtype, but for what the sums before were rounded to in float32."""
    assert found.dtype == dtype
    half_a_place = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    np.testing.assert_allclose(tf.cast(found, tf.float64), exact, rtol=1.01 * half_a_place, atol=1e-5 * float(tf.reduce_max(tf.abs(exact))))


@pytest.mark.usefixtures("speed_of_halves")
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_convolution_of_halves_rounds_its_results_alone(dtype: str, padding: str) -> None:
    layer = FORMS[layers.Conv2D](6, 3, padding=padding, dtype=f"mixed_{dtype}")
    layer.build((None, 9, 8, 5))
    x = tf.cast(drawn(4, 9, 8, 5), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x)
    upstream = tf.cast(drawn(*outputs.shape, seed=4), dtype)
    of_image, of_kernel = tape.gradient(outputs, [x, layer.kernel.value], upstream)

    kernel = tf.cast(tf.cast(layer.kernel.value, dtype), tf.float64)
    exact_x = tf.cast(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([exact_x, kernel])
        exact = tf.nn.conv2d(exact_x, kernel, 1, padding.upper())
    exact_of_image, exact_of_kernel = tape.gradient(exact, [exact_x, kernel], tf.cast(upstream, tf.float64))
    assert_rounded(outputs, exact, dtype)
    assert_rounded(of_image, exact_of_image, dtype)
    assert_rounded(tf.cast(of_kernel, dtype), exact_of_kernel, dtype)


@pytest.mark.parametrize("shape", [(12, 5, 4, 3), (3, 64, 64, 8)], ids=["as it is", "compiled"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_a_normalisation_of_halves_keeps_in_float32_has_no_more_digits(dtype: str, shape: tuple[int, ...]) -> None:
    layer = SlotBatchNormalization(dtype=f"mixed_{dtype}")
    layer.context, layer.gives_float32, layer.autocast = context_of(some_keys(shape[0])), True, False
    layer.build(shape)
    for training in (True, False):
        outputs = layer(drawn(*shape), training=training)
        assert outputs.dtype == "float32"
        np.testing.assert_array_equal(outputs, tf.cast(tf.cast(outputs, dtype), tf.float32))


def spy_on_products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """What is convolved from now on, images and kernels."""
    convolved: list[tuple[tf.Tensor, tf.Tensor]] = []
    convolve = layers.Conv2D.convolution_op

    def spied(self: layers.Conv2D, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        convolved.append((inputs, tf.convert_to_tensor(kernel)))
        return convolve(self, inputs, kernel)

    monkeypatch.setattr(layers.Conv2D, "convolution_op", spied)
    return convolved


@pytest.fixture(params=["bfloat16", "float16"])
def half(request: pytest.FixtureRequest) -> Iterator[str]:
    """Models are built for 16 bits of this kind."""
    keras.config.set_dtype_policy(f"mixed_{request.param}")
    yield request.param
    keras.config.set_dtype_policy("float32")


def test_what_is_multiplied_has_16_bits_whatever_it_is_multiplied_in(half: str, speed_of_halves: float, monkeypatch: pytest.MonkeyPatch) -> None:
    block = (layers.ReLU(), layers.Conv2D(5, 3, use_bias=False), layers.BatchNormalization())
    leaky = (layers.ReLU(negative_slope=0.3), layers.Conv2D(4, 1), layers.Activation("relu"), layers.BatchNormalization(), layers.LeakyReLU(0.2), layers.Conv2D(4, 1))
    copy, context = training_copy(conv_block(*block, layers.MaxPooling2D(), *leaky), ALONE, FORMS)
    convolved = spy_on_products(monkeypatch)
    with context.samples(some_keys(6)):
        copy(drawn(6, 8, 8, 3), training=True)
    copy(drawn(6, 8, 8, 3), training=False)
    assert len(convolved) == 2 * 4
    for values in itertools.chain(*convolved):
        assert values.dtype == ("float32" if speed_of_halves < 1 else half)
        np.testing.assert_array_equal(tf.cast(values, tf.float32), tf.cast(tf.cast(values, half), tf.float32))


def test_a_trained_model_classifies_by_the_convolutions_that_it_was_trained_by(half: str, speed_of_halves: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = conv_block(layers.ReLU(), layers.Conv2D(5, 3, use_bias=False), layers.BatchNormalization())
    model.save(tmp_path / "model.keras")
    convolved = spy_on_products(monkeypatch)
    found = Classifier((tmp_path / "model.keras").read_bytes(), (8, 8, 3), 3).logits([tf.io.encode_jpeg(image).numpy() for image in IMAGES])
    assert [[values.dtype.name for values in pair] for pair in convolved] == [["float32" if speed_of_halves < 1 else half] * 2] * 2
    decoded = np.stack([tf.io.decode_jpeg(tf.io.encode_jpeg(image), dct_method="INTEGER_ACCURATE") for image in IMAGES])
    np.testing.assert_allclose(softmax(found), tf.cast(model(decoded, training=False), tf.float64), atol=0.05)


def convolved_for_two() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    both = layers.Concatenate()([layers.Flatten()(layers.BatchNormalization()(x)), layers.Flatten()(x)])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(both))


@pytest.mark.parametrize("build", [lambda: conv_block(layers.MaxPooling2D(), layers.ReLU()), lambda: conv_block(layers.ReLU()), convolved_for_two], ids=["pooled", "as it is", "two followers"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.usefixtures("speed_of_halves")
def test_a_training_in_halves_is_near_the_one_in_float32(dtype: str, build: Callable[[], keras.Model]) -> None:
    found = []
    for policy in ("float32", f"mixed_{dtype}"):
        keras.config.set_dtype_policy(policy)
        try:
            model = build()
            model.set_weights([drawn(*weight.shape, seed=number).numpy() ** (1 + (weight.ndim == 1)) / 5 for number, weight in enumerate(model.get_weights())])
            copy, context = training_copy(model, ALONE, FORMS)
        finally:
            keras.config.set_dtype_policy("float32")
        # The gradient of a bias before a normalisation is nothing but rounding.
        values = [variable.value for variable in copy.trainable_variables if not re.search(r"conv2d\w*/bias$", variable.path)]
        x = drawn(5, *model.input_shape[1:])
        with tf.GradientTape() as tape, context.samples(some_keys(5)):
            tape.watch(values)
            logits = copy(x, training=True)
            loss = tf.reduce_mean(tf.cast(logits, tf.float32) ** 2)
        found.append([logits, *tape.gradient(loss, values), *copy.non_trainable_variables, copy(x, training=False)])
        assert logits.dtype == copy.compute_dtype
    for expected, of_16_bits in zip(*([np.asarray(tf.cast(tf.convert_to_tensor(value), tf.float32)) for value in each] for each in found), strict=True):
        np.testing.assert_allclose(of_16_bits, expected, rtol=0, atol=0.03 * np.abs(expected).max())


@given(st.integers(1, 100_000), st.integers(1, 2_000))
def test_blocks_divide_what_they_are_blocks_of(positions: int, channels: int) -> None:
    shape = block_shape(positions, channels)
    if shape is not None:
        rows, width = shape
        assert positions % (rows * width) == 0
        assert rows >= 16
        assert 8_192 <= rows * width * channels <= 131_072


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides", "image"), [(2, 2, (7, 8)), (3, 2, (7, 8)), ((2, 3), (1, 2), (7, 8)), (2, 2, (81, 82))], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normalisation_that_pools_is_the_two_layers_of_keras(dtype: str, size: object, strides: object, image: tuple[int, int], padding: str) -> None:
    pool = layers.MaxPooling2D(size, strides, padding, dtype=dtype)
    x = drawn(6, *image, 5, dtype=dtype)
    upstream = drawn(*pool(x).shape, dtype=dtype, seed=4)
    gamma = drawn(5, dtype=dtype, seed=5).numpy()
    assert (gamma < 0).any()
    assert (gamma > 0).any()
    outcomes = []
    for kind in (layers.BatchNormalization, SlotBatchNormalization):
        layer = kind(dtype=dtype)
        if kind is SlotBatchNormalization:
            layer.context, layer.pooling = context_of(some_keys(6)), Pooling(pool.pool_size, pool.strides, padding)
        layer.build(x.shape)
        layer.set_weights([gamma, *(drawn(5, dtype=dtype, seed=number).numpy() ** 2 for number in range(3))])
        apply = (lambda x, training, layer=layer: pool(layer(x, training=training))) if kind is layers.BatchNormalization else layer
        outcomes.append(outcome(layer, apply, x, upstream))
    assert_alike(*outcomes, TOLERANCE[dtype])


def test_flat_colour_pools_like_keras() -> None:
    """Where a maximum is there several times, one of them gets the gradient, not all."""
    x = tf.zeros([2, 4, 4, 1])
    layer = SlotBatchNormalization()
    layer.context, layer.pooling = context_of(some_keys(2)), Pooling((2, 2), (2, 2), "valid")
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    gradient = tape.gradient(outputs, x, tf.constant(np.arange(8.0).reshape(2, 2, 2, 1), tf.float32)).numpy()
    # Against the mean gradient of 28 / 32 for each value.
    assert (np.round(gradient * np.sqrt(layer.epsilon) + 28 / 32, 4).reshape(2, 2, 2, 2, 2).max((2, 4)).ravel() == np.arange(8)).all()


def conv_block(*rest: layers.Layer) -> keras.Model:
    front = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    return keras.Sequential([*front, *rest, layers.Flatten(), layers.Dense(3, activation="softmax")])


def normalised_twice() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(inputs)
    both = layers.Concatenate()([layers.Flatten()(layers.MaxPooling2D()(x)), layers.Flatten()(x)])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(both))


@pytest.mark.parametrize(
    ("model", "pools"),
    [
        (conv_block(layers.MaxPooling2D(), layers.ReLU()), True),
        (conv_block(layers.ReLU(), layers.MaxPooling2D(3, 1, "same")), True),
        (conv_block(layers.Activation("relu"), layers.MaxPooling2D()), True),
        (conv_block(layers.Activation("tanh"), layers.MaxPooling2D()), False),
        (conv_block(layers.LeakyReLU(), layers.MaxPooling2D(3, 2)), True),
        (conv_block(layers.AveragePooling2D(2)), False),
        (normalised_twice(), False),
    ],
)
def test_a_max_pooling_goes_into_the_normalisation_before_it(model: keras.Model, pools: bool) -> None:
    model.set_weights([drawn(*weight.shape, seed=number).numpy() ** (1 + (weight.ndim == 1)) / 5 for number, weight in enumerate(model.get_weights())])
    copy, context = training_copy(model, ALONE, FORMS)
    assert any(getattr(layer, "pooling", None) for layer in copy.layers) == pools
    x = drawn(5, *model.input_shape[1:])
    np.testing.assert_allclose(tf.nn.softmax(copy(x)).numpy(), model(x).numpy(), atol=1e-6)
    with context.samples(some_keys(5)):
        np.testing.assert_allclose(tf.nn.softmax(copy(x, training=True)).numpy(), model(x, training=True).numpy(), atol=1e-5)


def test_a_frozen_normalisation_stays_as_it_is() -> None:
    layer = SlotBatchNormalization(trainable=False)
    layer.context = context_of(some_keys(4))
    x = drawn(4, 3)
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    assert layer.moving_mean.numpy().tolist() == [0, 0, 0]


def dropout(rate: float, number: int, keys: tf.Tensor) -> SlotDropout:
    layer = SlotDropout(rate)
    layer.context, layer.number = context_of(keys), number
    return layer


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_dropout_keeps_its_share_and_scales_the_rest(rate: float) -> None:
    keys = some_keys(200)
    masks = dropout(rate, 1, keys)(tf.ones([200, 10, 10, 4]), training=True).numpy()
    assert set(np.unique(masks)) == {np.float32(0), np.float32(1 / (1 - rate))}
    kept = masks > 0
    deviation = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < 5 * deviation / np.sqrt(kept.size)
    # Neither a sample nor a place is kept more often than chance lets it.
    assert np.abs(kept.reshape(200, -1).mean(1) - (1 - rate)).max() < 5 * deviation / np.sqrt(400)
    assert np.abs(kept.mean(0) - (1 - rate)).max() < 5 * deviation / np.sqrt(200)


def test_a_samples_mask_is_its_own_whatever_the_batch() -> None:
    keys, ones = some_keys(16), tf.ones([16, 8, 8])
    whole = dropout(0.5, 1, keys)(ones, training=True).numpy()
    backwards = dropout(0.5, 1, keys[::-1])(ones, training=True).numpy()
    np.testing.assert_array_equal(whole, backwards[::-1])
    np.testing.assert_array_equal(whole[5:8], dropout(0.5, 1, keys[5:8])(ones[5:8], training=True).numpy())
    assert len({mask.tobytes() for mask in whole}) == 16


def test_layers_and_keys_draw_independent_masks() -> None:
    keys, ones = some_keys(64), tf.ones([64, 100])
    masks = [dropout(0.5, number, key)(ones, training=True).numpy() > 0 for number, key in ((1, keys), (2, keys), (1, some_keys(64, seed=1)))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs((masks[one] == masks[other]).mean() - 0.5) < 5 * 0.5 / np.sqrt(6400)


def test_dropout_does_nothing_outside_training() -> None:
    x = drawn(4, 6)
    np.testing.assert_array_equal(dropout(0.5, 1, some_keys(4))(x, training=False), x)


def block() -> list[layers.Layer]:
    return [layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.4)]


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), *block(), layers.Dense(3, activation="softmax")])


def nested() -> keras.Model:
    inputs = keras.Input((8,))
    x = keras.Sequential([keras.Input((8,)), *block()], name="inner")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def nested_in_sequential() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), keras.Sequential([keras.Input((8,)), *block()]), layers.Dense(3, activation="softmax")])


def simple() -> keras.Model:
    return models.build("simple", (16, 16, 3), 3, {})


@pytest.mark.parametrize("build", [sequential, nested, nested_in_sequential, simple])
def test_a_training_copy_is_the_model_without_its_softmax(build: object) -> None:
    model = build()  # type: ignore[operator]
    model.set_weights([np.abs(drawn(*weight.shape, seed=number)) / 3 for number, weight in enumerate(model.get_weights())])
    copy, context = training_copy(model, ALONE, FORMS)
    x = drawn(5, *model.input_shape[1:])
    np.testing.assert_allclose(tf.nn.softmax(copy(x)).numpy(), model(x).numpy(), atol=1e-6)
    # A step changes statistics and weights of the copy; they fit the plain model in the same order.
    with context.samples(some_keys(5)):
        first = copy(x, training=True)
        np.testing.assert_array_equal(first, copy(x, training=True))
    with context.samples(some_keys(5, seed=1)):
        assert (copy(x, training=True).numpy() != first.numpy()).any()
    model.set_weights(copy.get_weights())
    np.testing.assert_allclose(tf.nn.softmax(copy(x)).numpy(), model(x).numpy(), atol=1e-6)


def softmax_inside() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), keras.Sequential([keras.Input((8,)), layers.Dense(3, activation="softmax")])])


@pytest.mark.parametrize("model", [keras.Sequential([keras.Input((8,)), layers.Dense(3)]), softmax_inside()])
def test_a_model_without_a_softmax_at_its_end_is_refused(model: keras.Model) -> None:
    with pytest.raises(UsageError, match="has to end in a softmax"):
        training_copy(model, ALONE, FORMS)


def test_normalisation_over_another_axis_is_refused() -> None:
    model = keras.Sequential([keras.Input((4, 6)), layers.BatchNormalization(axis=1), layers.Flatten(), layers.Dense(3, activation="softmax")])
    with pytest.raises(UsageError, match="axis=1"):
        training_copy(model, ALONE, FORMS)


@pytest.mark.parametrize("layer", [layers.GaussianNoise(0.1), layers.SpatialDropout1D(0.5), layers.GaussianDropout(0.1)])
def test_layers_that_draw_random_numbers_of_their_own_are_refused(layer: keras.layers.Layer) -> None:
    model = keras.Sequential([keras.Input((4, 6)), layer, layers.Flatten(), layers.Dense(3, activation="softmax")])
    with pytest.raises(UsageError, match=type(layer).__name__):
        training_copy(model, ALONE, FORMS)


def copy_and_step(
    model: keras.Model, optimizer: keras.Optimizer, slots: Slots = ALONE, *, steps: int = 3, class_weights: list[float] | None = None, label_smoothing: float = 0.0
) -> tuple[keras.Model, TrainingStep]:
    """The model's training copy and its step, for epochs of so many steps of 8 images."""
    copy, context = training_copy(model, slots, FORMS)
    optimizer.build(copy.trainable_variables)
    return copy, TrainingStep(copy, context, optimizer, slots, class_weights=class_weights, label_smoothing=label_smoothing, epoch_shape=(steps, 8))


def one_step(class_weights: list[float] | None, keys: tf.Tensor, label_smoothing: float = 0.0) -> tuple[np.ndarray, np.ndarray, TrainingStep]:
    """The kernel of a linear model before and after a step of plain SGD at rate 1."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.1))])
    model.set_weights([drawn(4, 3, dtype="float64").numpy(), np.zeros(3)])
    copy, step = copy_and_step(model, keras.optimizers.SGD(1.0), class_weights=class_weights, label_smoothing=label_smoothing)
    before = copy.get_weights()[0]
    numbers = np.arange(len(keys))
    batch = Batch(drawn(len(keys), 4, dtype="float64", seed=9), tf.constant(numbers % 3), keys, tf.constant(np.stack([numbers, numbers + 20], 1)))
    assert not step(1, batch, len(keys), stop=False)
    return before, copy.get_weights()[0], step


@pytest.mark.parametrize(
    ("sizes", "first", "least", "groups"),
    [
        ([5], 3, 30, [[5]]),
        ([1, 2, 3], 10, 30, [[1, 2], [3]]),  # the first variables, which are known last, have a small sum of their own
        ([1, 1, 1], 10, 30, [[1, 1, 1]]),
        ([1, 9, 1, 9], 10, 10, [[1], [9], [1, 9]]),
        ([1, 20, 1], 10, 10, [[1], [20, 1]]),
        ([10, 10, 10], 10, 10, [[10], [10], [10]]),
        ([10] * 6, 10, 20, [[10], [10, 10], [10, 10], [10]]),  # the last sets out early, further ones are few
        ([1, 2, 30, 4, 5], 10, 20, [[1, 2], [30, 4, 5]]),
        ([4, 2, 30, 4, 5], 10, 20, [[4, 2], [30, 4, 5]]),  # nothing at the beginning is small
    ],
)
def test_gradients_are_summed_in_buckets_from_the_last_on(sizes: list[int], first: int, least: int, groups: list[list[int]]) -> None:
    assert [sizes[bucket] for bucket in buckets(sizes, 3, first, least)] == groups


def test_what_is_known_early_goes_with_the_last_layers_gradients() -> None:
    summed = []

    class Recorded(Slots):
        def sums(self, *buckets: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            summed.extend(sum(value.shape.num_elements() for value in bucket) for bucket in buckets)
            return [value for bucket in buckets for value in bucket]

    model = keras.Sequential([keras.Input((4,)), layers.Dense(500), layers.Dense(600), layers.Dense(2, activation="softmax")])
    slots = Recorded(0, 1, ALONE.strategy, ALONE.network)
    _, step = copy_and_step(model, keras.optimizers.SGD(1.0), slots)
    step(0, Batch(drawn(8, 4), tf.zeros([8], tf.int64), some_keys(8), tf.zeros([8, 2], tf.int64)), 8, stop=False)
    assert summed == [4 * 500 + 500, 500 * 600 + 600 + 600 * 2 + 2 + 2 + 1 + 2 * 8]


def test_adam_in_one_operation_is_keras_own() -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape) for shape in ((3, 5), (7,), ())]
    found = []
    for kind in (keras.optimizers.Adam, FusedAdam):
        variables = [keras.Variable(value, dtype="float64") for value in start]
        optimizer = kind(0.01)
        optimizer.build(variables)
        draws = np.random.default_rng(1)
        for number in range(20):
            optimizer.learning_rate = 0.01 / (number + 1)
            optimizer.apply([tf.constant(draws.normal(size=value.shape)) for value in start], variables)
        found.append([np.array(variable) for variable in [*variables, *optimizer.variables]])
    for expected, actual in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
    assert all(np.abs(value - first).max() > 1e-3 for value, first in zip(found[1], start, strict=False))


@pytest.mark.parametrize("shape", [(5, 3), (32, 32, 8)], ids=["as it is", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout_gives_the_gradient_the_mask_of_the_values(shape: tuple[int, ...], dtype: str) -> None:
    layer = FORMS[keras.layers.Dropout](0.25, dtype=dtype)
    layer.context, layer.number = SlotContext(ALONE), 3
    keys = some_keys(6)
    with layer.context.samples(keys):
        ones = tf.ones([6, *shape], dtype)
        with tf.GradientTape() as tape:
            tape.watch(ones)
            outputs = layer(ones, training=True)
        gradient = tape.gradient(outputs, ones)
    kept = _keep_mask(keys, tf.TensorShape(shape), 0.25, 3)
    np.testing.assert_array_equal(outputs != 0, kept)
    np.testing.assert_array_equal(gradient, outputs)
    assert 0.5 < float(tf.reduce_mean(tf.cast(kept, tf.float32))) < 1


def test_a_step_and_an_evaluation_are_traced_once_whatever_the_length_of_a_batch() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    copy, step = copy_and_step(model, keras.optimizers.SGD(1.0))
    calls = []
    called = copy.call
    copy.call = lambda *arguments, **named: calls.append(named["training"]) or called(*arguments, **named)
    evaluator = Evaluator(copy, ALONE)
    for number, count in enumerate((8, 8, 3)):
        origins = tf.stack([tf.range(count, dtype=tf.int64)] * 2, 1)
        batch = Batch(drawn(count, 4), tf.zeros([count], tf.int64), some_keys(count), origins)
        step(number, batch, count, stop=False)
        evaluator([(batch.images, batch.labels)])
    assert sorted(calls) == [False, True]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("class_weights", [None, [1.0, 1.0, 1.0], [0.5, 2.0, 4.0]])
def test_a_step_follows_the_smoothed_and_weighted_loss_and_reports_the_plain_one(class_weights: list[float] | None, smoothing: float) -> None:
    before, after, step = one_step(class_weights, some_keys(7), smoothing)
    x, labels = drawn(7, 4, dtype="float64", seed=9).numpy(), np.arange(7) % 3
    logits = x @ before
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    weights = np.array(class_weights or [1.0, 1.0, 1.0])[labels]
    targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    errors = (probabilities - targets) * weights[:, None]
    gradient = x.T @ errors / 7 + 0.2 * before
    # Keras holds the factor of the penalty in single precision.
    np.testing.assert_allclose(before - after, gradient, atol=1e-7)
    totals = step.totals()
    assert totals.loss == pytest.approx(-np.log(probabilities[np.arange(7), labels]).sum())
    assert totals.gradient_norm == pytest.approx(np.hypot(np.linalg.norm(gradient), np.linalg.norm(errors.sum(0) / 7)))
    assert (totals.correct, totals.images) == ((probabilities.argmax(1) == labels).sum(), 7)
    # Records 20 to 26 on slot 0, counted from 1, at places 0 to 6 of the second step.
    assert step.fed(2).tolist() == [[[0, 0]] * 8, [[number + 21, 1] for number in range(7)] + [[0, 0]]]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["simple", "covers"])
def test_steps_have_the_losses_of_keras_own(name: str) -> None:
    model = models.build(name, (32, 32, 3), 3, {})
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # whose draws are each side's own
    reference = keras.models.clone_model(model)
    reference.set_weights(model.get_weights())
    reference.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["sparse_categorical_crossentropy"])
    _, step = copy_and_step(model, FusedAdam(0.001), steps=8)
    rng = np.random.default_rng(5)
    expected, found = [], []
    for number in range(8):
        images, labels = rng.integers(0, 256, (6, 32, 32, 3)), rng.integers(0, 3, 6)
        reference.reset_metrics()
        expected.append(reference.train_on_batch(images, labels, return_dict=True)["sparse_categorical_crossentropy"])
        step.begin_epoch()
        step(number, Batch(tf.constant(images, tf.uint8), tf.constant(labels), some_keys(6), tf.zeros([6, 2], tf.int64)), 6, stop=False)
        found.append(step.totals().loss / 6)
    assert max(expected) > 1.1 * min(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.usefixtures("float64")
def test_a_stand_in_counts_for_nothing_but_the_penalty() -> None:
    before, after, step = one_step(None, tf.constant([NO_SAMPLE], tf.int64), 0.1)
    np.testing.assert_allclose(before - after, 0.2 * before, atol=1e-12)
    assert (step.totals().loss, step.totals().correct) == (0.0, 0.0)
    assert not step.fed(2).any()


@pytest.mark.parametrize("classes", [3, CONFUSION_CLASSES, CONFUSION_CLASSES + 1])
def test_an_evaluation_counts_answers_by_class_up_to_a_hundred(classes: int) -> None:
    random = np.random.default_rng(classes)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(classes)])
    batches = [(drawn(count, 4, seed=count), tf.constant(random.integers(0, classes, count))) for count in (5, 3)]
    found = Evaluator(model, ALONE)(batches)
    assert found is not None
    if classes > CONFUSION_CLASSES:
        assert found.confusion is None
        return
    pairs = [(label, answer) for images, labels in batches for label, answer in zip(labels.numpy(), model(images).numpy().argmax(1), strict=True)]
    assert found.confusion is not None
    assert found.confusion.sum() == found.images == 8
    assert all(found.confusion[pair] == pairs.count(pair) for pair in pairs)
