"""Settings that every job which fetches images by URL has: how patient, how polite and how strict it is."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import model_validator

from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import CommaSeparated


class FetchSettings(Settings):
    """How images are fetched, and which are taken."""

    url_column: str = option("image", "column of the image URL in a table of them", accepted="a column of the input", metavar="NAME")
    mirror: list[str] = option([], "fetch image URLs that start with FROM from TO instead (ids and cache keep FROM)", accepted="FROM=TO pairs", metavar="FROM=TO")
    allow_addresses: Annotated[list[str], CommaSeparated] = option([], "fetch from these too, which are not public: private, loopback and link-local addresses are refused otherwise", accepted="addresses or networks such as 10.0.0.0/8", metavar="A,B")
    threads: int = option(32, "download threads per task", accepted="a whole number from 1 to 256", metavar="T", ge=1, le=256)
    per_host: int = option(32, "connections to one host at a time, over all tasks", accepted="a whole number from 1", metavar="C", ge=1)
    connect_timeout: float = option(5.0, "seconds to wait for a connection", accepted="seconds above 0", metavar="SECONDS", gt=0)
    read_timeout: float = option(10.0, "seconds to wait for the next bytes", accepted="seconds above 0", metavar="SECONDS", gt=0)
    total_timeout: float = option(30.0, "seconds one image may take, retries not counted", accepted="seconds above 0", metavar="SECONDS", gt=0)
    retries: int = option(2, "further tries where one can help (5xx, 429, broken connections)", accepted="a whole number from 0 to 10", metavar="R", ge=0, le=10)
    max_bytes: int = option(10_000_000, "largest image file taken", accepted="bytes from 1000", metavar="BYTES", ge=1000)
    max_pixels: int = option(50_000_000, "largest image taken, in pixels", accepted="pixels from 1000", metavar="PIXELS", ge=1000)

    @model_validator(mode="after")
    def _check_hosts(self) -> FetchSettings:
        for pair in self.mirror:
            if "=" not in pair:
                raise UsageError("The value of --mirror is wrong", received=pair, accepted="FROM=TO")
        for network in self.allow_addresses:
            try:
                ip_network(network)
            except ValueError as error:
                raise UsageError(f"The value of --allow-addresses is wrong: {error}", received=network, accepted="addresses or networks such as 10.0.0.0/8") from error
        return self
