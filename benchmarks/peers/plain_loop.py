"""A model over a folder of images as one writes it by hand: read, decode, stack a batch, `model(x)`.

    python -m benchmarks.peers.plain_loop MODEL FOLDER BATCH pillow|tensorflow      prints images per second, the loading of TensorFlow and the model included

FOLDER is a URI that fsspec knows; its images have the model's size.
"""

from __future__ import annotations

import io
import sys
import time

import numpy as np


def main(model_path: str, folder: str, batch_size: int, decoder: str) -> float:
    """Images per second on one core."""
    from slotwise import storage

    fs, root = storage.filesystem(folder)
    paths = fs.find(root)
    began = time.monotonic()

    import keras
    import tensorflow as tf
    from PIL import Image

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = keras.models.load_model(model_path, compile=False)

    def pixels(path: str) -> np.ndarray:
        with fs.open(path, "rb") as file:
            content = file.read()
        if decoder == "pillow":
            return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()

    classes: list[int] = []
    for start in range(0, len(paths), batch_size):
        batch = np.stack([pixels(path) for path in paths[start : start + batch_size]])
        classes += np.argmax(model(batch, training=False), axis=1).tolist()
    assert len(classes) == len(paths)
    return len(paths) / (time.monotonic() - began)


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
