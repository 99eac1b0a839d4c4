"""img2dataset on Spark, as its documentation has it: a table of URLs to shards of images of one size.

    spark-submit benchmarks/peers/img2dataset_job.py CSV OUTPUT SIZE QUALITY

It writes webdataset: its TFRecord writer needs tensorflow-io, which no current TensorFlow can load.
"""

from __future__ import annotations

import sys

_IMAGES_A_SHARD = 500
_THREADS = 32


def main(table: str, output: str, size: int, quality: int) -> None:
    from img2dataset import download
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    download(
        url_list=table, input_format="csv", url_col="image", output_folder=output, output_format="webdataset", image_size=size, resize_mode="no",
        encode_quality=quality, thread_count=_THREADS, number_sample_per_shard=_IMAGES_A_SHARD, distributor="pyspark", retries=2,
    )  # fmt: skip
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
