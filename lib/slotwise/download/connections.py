"""urllib3's connections, to allowed addresses alone, and telling apart a server that failed from one that had closed meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from slotwise.download.addresses import Allowed


class ClosedMeanwhile(HTTPError):
    """A connection that had answered before was closed by its server as the next request was on its way.

    Servers close what they keep alive whenever they like, and the request says nothing of its URL: it is to be sent again on another
    connection (RFC 9112, section 9.3.1, https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1).
    """


def pools(allowed: Allowed) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools by scheme; their connections raise ForbiddenAddress and ClosedMeanwhile beside what urllib3's raise."""

    class Checked(HTTPConnection):
        _has_answered = False

        def _new_conn(self) -> socket.socket:
            name = self._dns_host
            try:
                addresses = allowed.addresses(name, self.port or self.default_port)
            except socket.gaierror as error:
                raise NameResolutionError(self.host, self, error) from error
            for last, address in enumerate(addresses, 1 - len(addresses)):
                # An address is its own only answer: nobody is asked a second time, who could answer otherwise.
                self._dns_host = address
                try:
                    return super()._new_conn()
                except NewConnectionError:
                    if not last:
                        raise
                finally:
                    self._dns_host = name
            raise AssertionError("the last address returns or raises")

        def connect(self) -> None:
            self._has_answered = False
            super().connect()

        def request(self, *args: Any, **kwargs: Any) -> None:
            with self._used_again():
                super().request(*args, **kwargs)

        def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 overrides http.client
            with self._used_again():
                response = super().getresponse()
            self._has_answered = True
            return response

        @contextmanager
        def _used_again(self) -> Iterator[None]:
            try:
                yield
            except ConnectionError as error:
                if not self._has_answered:
                    raise
                raise ClosedMeanwhile(str(error)) from error

    class CheckedTls(Checked, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Checked

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = CheckedTls

    return {"http": Pool, "https": TlsPool}
