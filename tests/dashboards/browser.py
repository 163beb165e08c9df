"""A headless Chromium over its DevTools protocol: open a page, see what it asked and shows."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.support.process import Process, wait_for
from tests.tools import tool

Message = dict[str, Any]


class Browser:
    """One tab, tall enough that a page has no reason to load lazily. An async context manager."""

    def __init__(self, width: int = 1600, height: int = 8000) -> None:
        self._size = (width, height)
        self._directory = tempfile.TemporaryDirectory(prefix="collection-health-browser-")
        self._sent = 0
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._listeners: list[Callable[[Message], None]] = []

    async def __aenter__(self) -> Self:
        profile = Path(self._directory.name)
        self._process = Process(
            [
                str(tool("chromium")),
                "--headless=new",
                "--no-sandbox",  # tests may run as root in a container
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            profile / "log",
        )
        self._process.start()
        ports = profile / "DevToolsActivePort"
        wait_for(lambda: ports.exists() and ports.read_text().count("\n"), "Chromium")
        port = ports.read_text().splitlines()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        self._socket = await self._session.ws_connect(
            pages[0]["webSocketDebuggerUrl"], max_msg_size=0
        )
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Network", "Runtime"):
            await self.call(f"{domain}.enable")
        width, height = self._size
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.stop()
        self._directory.cleanup()

    async def _read(self) -> None:
        async for raw in self._socket:
            message: Message = json.loads(raw.data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                for listener in self._listeners:
                    listener(message)

    async def call(self, method: str, **params: object) -> Message:
        """Call a DevTools method and return its result. Raises `RuntimeError`."""
        self._sent += 1
        future = self._answers[self._sent] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._sent, "method": method, "params": params})
        answer = await asyncio.wait_for(future, 30)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def open(self, url: str, watch: str, quiet: float = 3.0) -> list[tuple[int, str]]:
        """Open a page and wait until it asked for nothing during ``quiet`` seconds.

        Returns status and body of every answer to a request whose URL contains ``watch``.
        """
        loop = asyncio.get_running_loop()
        last = loop.time()
        open_requests: set[str] = set()
        watched: dict[str, int] = {}

        def listen(message: Message) -> None:
            nonlocal last
            method, params = message["method"], message.get("params", {})
            if method == "Network.requestWillBeSent":
                open_requests.add(params["requestId"])
            elif method == "Network.responseReceived" and watch in params["response"]["url"]:
                watched[params["requestId"]] = params["response"]["status"]
            elif method in ("Network.loadingFinished", "Network.loadingFailed"):
                open_requests.discard(params["requestId"])
            else:
                return
            last = loop.time()

        self._listeners = [listen]
        await self.call("Page.navigate", url=url)
        deadline = loop.time() + 120
        while (  # noqa: ASYNC110  # quiet is the absence of events: none can be awaited
            open_requests or loop.time() - last < quiet
        ) and loop.time() < deadline:
            await asyncio.sleep(0.2)
        return [
            (status, (await self.call("Network.getResponseBody", requestId=request))["body"])
            for request, status in watched.items()
        ]
