"""Random changes of images, each drawn from the image's own key and by native tensor operations only.

What needs single pixels is done to each image, and what moves whole images to a batch. All that is drawn is worked out for each image alone:
a sine has other bits in a vector than alone, and an image's place in its batch must not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# Largest changes, as shares of the image's side, radians or grey levels; in the range that the published works use.
CROP = SHIFT = 0.1
ROTATE = 0.26  # 15 degrees
SHEAR = 0.2
ZOOM = 0.2
BRIGHTNESS = 0.2 * 255


def change(image: tf.Tensor, key: tf.Tensor, kinds: Sequence[str]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What `finish` needs of one image.

    Args:
        image: uint8 [height, width, channels].
        key: int64 scalar, from `order.sample_keys`; the same key gives the same change.
        kinds: any of flip, crop, shift, rotate, shear, zoom, brightness.

    Returns:
        the image cropped and flipped, uint8; the map from output to input pixels, float32 [8], zeros if it stays as it is; what is added, float32 scalar.
    """
    height, width, _ = image.shape
    # One draw for all kinds, in fixed places: switching one on does not change the others.
    draws = tf.random.stateless_uniform([10], tf.bitcast(key, tf.int32), -1.0, 1.0)
    picture = _cropped(image, draws[1:3]) if "crop" in kinds else image
    if "flip" in kinds:
        picture = tf.raw_ops.Reverse(tensor=picture, dims=tf.stack([False, draws[0] < 0, False]))
    affine = _affine(draws, set(kinds), height, width) if _is_geometric(kinds) else tf.zeros([8])
    return picture, affine, draws[9] * BRIGHTNESS


def finish(pictures: tf.Tensor, affines: tf.Tensor, brighter: tf.Tensor, image_shape: tuple[int, int, int], kinds: Sequence[str]) -> tf.Tensor:
    """Changed images, float32 [b, height, width, channels], 0 to 255, of a batch of what `change` gives."""
    height, width, _ = image_shape
    # Bytes until here, a quarter of the memory to move; of bytes the resizing takes twice as long.
    images = tf.cast(pictures, tf.float32)
    if "crop" in kinds:
        images = tf.raw_ops.ResizeBilinear(images=images, size=(height, width), half_pixel_centers=True)
    if _is_geometric(kinds):
        images = tf.raw_ops.ImageProjectiveTransformV3(
            images=images, transforms=affines, output_shape=[height, width], fill_value=0.0, interpolation="BILINEAR", fill_mode="REFLECT"
        )
    if "brightness" in kinds:
        images = tf.clip_by_value(images + brighter[:, None, None, None], 0.0, 255.0)
    return tf.ensure_shape(images, [None, *image_shape])


def _is_geometric(kinds: Sequence[str]) -> bool:
    return not {"shift", "rotate", "shear", "zoom"}.isdisjoint(kinds)


def _cropped(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Nine tenths of the height and of the width, from a place of whole pixels that two draws of -1 to 1 say."""
    height, width, channels = image.shape
    kept = (round((1 - CROP) * height), round((1 - CROP) * width))
    places = tf.constant([height - kept[0] + 1, width - kept[1] + 1], tf.float32)
    # Below 1 before rounding, but not always after it.
    first = tf.minimum(tf.cast((draws + 1) / 2 * places, tf.int32), tf.cast(places, tf.int32) - 1)
    return tf.slice(image, tf.concat([first, [0]], 0), (*kept, channels))


def _affine(draws: tf.Tensor, kinds: set[str], height: int, width: int) -> tf.Tensor:
    """The map from output to input pixels about the image's centre, float32 [8] as projective transforms take it."""
    scale_x = scale_y = tf.constant(1.0)
    angle = slope = move_x = move_y = tf.constant(0.0)
    if "shift" in kinds:
        move_x, move_y = draws[3] * SHIFT * width, draws[4] * SHIFT * height
    if "zoom" in kinds:
        scale_x, scale_y = 1.0 + draws[5] * ZOOM, 1.0 + draws[6] * ZOOM
    if "rotate" in kinds:
        angle = draws[7] * ROTATE
    if "shear" in kinds:
        slope = draws[8] * SHEAR
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = scale_x * cos, scale_x * (slope * cos - sin)
    d, e = scale_y * sin, scale_y * (slope * sin + cos)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    c = centre_x + move_x - a * centre_x - b * centre_y
    f = centre_y + move_y - d * centre_x - e * centre_y
    return tf.stack([a, b, c, d, e, f, 0.0, 0.0])
