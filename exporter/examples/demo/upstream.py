"""The APIs the demo's collectors fetch from, and the ways they break.

Each API listens on a port of its own, so that one can refuse connections while the others serve.
`POST /fault {"api": ..., "mode": ...}` on the control port changes how an API behaves.
"""

import argparse
import asyncio
import random
from collections.abc import Awaitable, Callable

from aiohttp import web

MODES = ("ok", "refused", "slow", "limited", "denied", "broken", "missing", "empty")
ROWS = 120


class Api:
    """One upstream API with a fault switch."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port, self.mode = name, port, "ok"
        self._site: web.TCPSite | None = None
        app = web.Application()
        app.router.add_get("/{resource}", self.serve)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await self.change("ok")

    async def change(self, mode: str) -> None:
        """Behave as ``mode`` says; ``refused`` closes the listening socket."""
        self.mode = mode
        if mode == "refused" and self._site is not None:
            await self._site.stop()
            self._site = None
        elif mode != "refused" and self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
            await self._site.start()

    async def serve(self, _: web.Request) -> web.Response:
        """Rows of a resource, or the current fault."""
        faults: dict[str, Callable[[], Awaitable[web.Response]]] = {
            "slow": self._slow,
            "limited": lambda: _text(429, "too many requests"),
            "denied": lambda: _text(401, "token expired"),
            "broken": lambda: _text(200, '{"rows": [{"id": 1, "value":'),
            "missing": lambda: _rows(ROWS, field="valeu"),
            "empty": lambda: _rows(0),
        }
        fault = faults.get(self.mode)
        return await (fault() if fault else _rows(ROWS + random.randint(-10, 10)))  # noqa: S311

    async def _slow(self) -> web.Response:
        await asyncio.sleep(4)
        return await _rows(ROWS)


async def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


async def _rows(count: int, field: str = "value") -> web.Response:
    rows = [{"id": number, field: number * 1.5} for number in range(count)]
    return web.json_response({"rows": rows})


async def serve(apis: dict[str, Api], control_port: int) -> None:
    """Serve all APIs and the control port until the process ends."""

    async def fault(request: web.Request) -> web.Response:
        wanted = await request.json()
        if wanted.get("api") not in apis or wanted.get("mode") not in MODES:
            return web.json_response({"apis": list(apis), "modes": MODES}, status=400)
        await apis[wanted["api"]].change(wanted["mode"])
        return web.json_response(wanted)

    app = web.Application()
    app.router.add_post("/fault", fault)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", control_port).start()
    for api in apis.values():
        await api.start()
    await asyncio.Event().wait()


def main() -> None:
    """Command line: the control port and ``name=port`` of each API."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("api", nargs="+", metavar="NAME=PORT")
    args = parser.parse_args()
    pairs = (text.split("=") for text in args.api)
    asyncio.run(serve({name: Api(name, int(port)) for name, port in pairs}, args.control))


if __name__ == "__main__":
    main()
