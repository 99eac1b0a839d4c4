"""The slots' lines reach the driver's console whole, however the network cuts them."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from pyspark.ml.torch.log_communication import LogStreamingClient

from slotwise.cluster.logs import LogServer


def test_lines_that_arrive_in_parts_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "slot 1 | épo".encode()
    with LogServer("127.0.0.1") as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        for part in (struct.pack(">i", len(text))[:2], struct.pack(">i", len(text))[2:] + text[:9], text[9:]):
            connection.sendall(part)
            time.sleep(0.05)
        connection.close()
    assert capsys.readouterr().err == "slot 1 | épo\n"


def test_everything_a_client_sends_is_printed_before_the_server_ends(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"slot 0 | line {number} {'x' * 3000}" for number in range(300)]
    with LogServer("127.0.0.1") as server:
        client = LogStreamingClient("127.0.0.1", server.port)
        for line in lines:
            client.send(line)
        client.close()
        time.sleep(0.2)
    assert capsys.readouterr().err.splitlines() == lines
