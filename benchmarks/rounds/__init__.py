"""What is measured: each round a few ways of doing the same work in turn, and what is claimed of them."""

from __future__ import annotations

from benchmarks.rounds import catalogue, checkpoints, cnn, feeding, hosts, predicting, preparing, spark_peers, starting
from benchmarks.rounds.round import Round

ROUNDS: tuple[Round, ...] = (*cnn.ROUNDS, hosts.ROUND, *spark_peers.ROUNDS, feeding.ROUND, preparing.ROUND, *predicting.ROUNDS, catalogue.ROUND, starting.ROUND, checkpoints.ROUND)
