"""Each receiver is a plug-in."""

import urllib.error
import urllib.request

import pytest

from tests.receivers.conftest import Exporter

ROUTES = {
    "ping": ("GET", "/ping/job"),
    "openlineage": ("POST", "/api/v1/lineage"),
    "pushgateway": ("PUT", "/metrics/job/job"),
    "json": ("POST", "/api/v1/outcomes"),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_receiver_can_be_switched_off(exporter: Exporter, name: str) -> None:
    """``--disable NAME`` leaves out that receiver's routes and no other's."""
    exporter.start(disable=[name])
    missing = set()
    for receiver, (method, path) in ROUTES.items():
        body = None if method == "GET" else b"{}"
        request = urllib.request.Request(f"{exporter.url}{path}", body, method=method)
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (404, 405):
                    missing.add(receiver)
    assert missing == {name}
