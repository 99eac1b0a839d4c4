"""The table that predict writes: one row for each row of its input, predicted or with the reason why not."""

from __future__ import annotations

from typing import Literal

PREDICTED = "predicted"
"""The status of a row that has a class; of the others it is one of `slotwise.contracts.catalogue.Status`."""

ImageSource = Literal["bytes", "files", "urls"]
"""Where the image of a row is: in it, in a file of the storage, or on the web."""

# Spark DDL of the rows that are to be predicted: an image is the bytes of its file, or what a URI of the storage or a URL leads to. `size`
# is the file's, in bytes, also where it is too large to be read. A row with a status is lost already and is passed on as it is.
INPUT_SCHEMA = "id string, url string, image binary, size long, status string, error string"

# Spark DDL of what is said of one image. Probabilities are 0 to 1; the top classes are the most probable first, `class` and `probability`
# being the first of them.
ANSWER_SCHEMA = "class string, probability double, top_classes array<string>, top_probabilities array<double>, status string, error string"

# Spark DDL of the predictions. `id` is the path below the input, the URL, or the key of a row.
PREDICTION_SCHEMA = f"id string, {ANSWER_SCHEMA}"
