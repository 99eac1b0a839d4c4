"""A plain PyTorch loop under DistributedDataParallel, as its documentation has it; alone, or under TorchDistributor on Spark.

    python -m benchmarks.peers.ddp DATASET MODEL BATCH EPOCHS              one rank of several
    spark-submit benchmarks/peers/ddp.py DATASET MODEL BATCH EPOCHS RANKS  TorchDistributor

prints images per second over all ranks after the first epoch. BATCH is of one rank; where ranks meet is said in `RANK`, `WORLD_SIZE`,
`MASTER_ADDR` and `MASTER_PORT`, as `torchrun` and TorchDistributor say it.
"""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING

from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.formats import tfrecord

if TYPE_CHECKING:
    import torch


class Images:
    """The training split, its JPEGs in memory and decoded when they are asked for: a map-style dataset of PyTorch."""

    def __init__(self, dataset: str) -> None:
        shards = datasets.load(dataset).splits["train"].shards
        paths = [storage.local_path(storage.join(dataset, shard.file)) for shard in shards]
        self._samples = [tfrecord.decode_example(record) for path in paths for record in tfrecord.read_records(path)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        import torch
        from PIL import Image

        sample = self._samples[index]
        image = Image.open(io.BytesIO(sample.image)).convert("RGB")
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.view(image.height, image.width, 3).permute(2, 0, 1), sample.label


def train(dataset: str, model_name: str, batch_size: int, epochs: int) -> float:
    """Images per second of the training over the epochs after the first."""
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader, DistributedSampler

    from benchmarks.peers.torch_network import Network

    torch.set_num_threads(1)
    torch.manual_seed(7)
    dist.init_process_group("gloo")
    record = datasets.load(dataset)
    data = Images(dataset)
    sampler = DistributedSampler(data)
    # Workers would share the rank's one core.
    loader = DataLoader(data, batch_size, sampler=sampler, num_workers=0)
    network = Network(model_name, record.image_size, len(record.classes))
    model = DistributedDataParallel(network.to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=network.weight_decay)
    criterion = nn.CrossEntropyLoss()
    seconds = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        dist.barrier()
        began = time.monotonic()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images.to(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
        dist.barrier()
        seconds.append(time.monotonic() - began)
    dist.destroy_process_group()
    return len(data) * len(seconds[1:]) / sum(seconds[1:])


def main(dataset: str, model: str, batch_size: int, epochs: int, ranks: int | None = None) -> float:
    if ranks is None:
        return train(dataset, model, batch_size, epochs)
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    SparkSession.builder.getOrCreate()
    rate: float = TorchDistributor(num_processes=ranks, local_mode=False, use_gpu=False).run(train, dataset, model, batch_size, epochs)
    return rate


if __name__ == "__main__":
    # By its own name, so that the executors' Python finds what Spark sends them.
    from benchmarks.peers import ddp

    print(ddp.main(storage.normalise(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
