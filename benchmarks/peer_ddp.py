"""The peer: the same CNN as a plain PyTorch loop under DistributedDataParallel, as its documentation has it.

    python -m benchmarks.peer_ddp DATASET BATCH EPOCHS     prints images per second over all ranks after the first epoch

`RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT` are those of `torchrun`; BATCH is of one rank.
"""

from __future__ import annotations

import io
import sys
import time

import torch
import torch.distributed as dist
from PIL import Image
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from slotwise import storage
from slotwise.contracts import dataset as datasets
from slotwise.formats import tfrecord


class Covers(Dataset[tuple[torch.Tensor, int]]):
    """The training split, its JPEGs in memory and decoded when they are asked for."""

    def __init__(self, dataset: str) -> None:
        shards = datasets.load(dataset).splits["train"].shards
        paths = [storage.local_path(storage.join(dataset, shard.file)) for shard in shards]
        self._samples = [tfrecord.decode_example(record) for path in paths for record in tfrecord.read_records(path)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        sample = self._samples[index]
        image = Image.open(io.BytesIO(sample.image)).convert("RGB")
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.view(image.height, image.width, 3).permute(2, 0, 1), sample.label


class Network(nn.Module):
    """`covers` in PyTorch's words."""

    def __init__(self, image_size: tuple[int, int], classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for width in (32, 48, 64, 80):
            blocks += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.MaxPool2d(2), nn.ReLU()]
            channels = width
        features = channels * (image_size[0] // 16) * (image_size[1] // 16)
        head: list[nn.Module] = [nn.Flatten()]
        for width in (128, 64):
            head += [nn.Dropout(0.3), nn.Linear(features, width), nn.ReLU()]
            features = width
        self.layers = nn.Sequential(*blocks, *head, nn.Dropout(0.3), nn.Linear(features, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images.float() / 255)
        return logits


def main(dataset: str, batch_size: int, epochs: int) -> float:
    """Images per second of the training over the epochs after the first."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    dist.init_process_group("gloo")
    record = datasets.load(dataset)
    data = Covers(dataset)
    sampler = DistributedSampler(data)
    # Workers would share the rank's one core.
    loader = DataLoader(data, batch_size, sampler=sampler, num_workers=0)
    model = DistributedDataParallel(Network(record.image_size, len(record.classes)).to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=2e-4)
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


if __name__ == "__main__":
    print(main(storage.normalise(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
