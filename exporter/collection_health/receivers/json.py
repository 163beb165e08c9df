"""``POST /api/v1/outcomes``: one outcome, an array, or NDJSON — the exporter's own protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from aiohttp import web

from collection_health.decoding import Decoded, decode_json, decode_lines
from collection_health.incoming import problem, read_body, unavailable
from collection_health.pipeline import Overloaded, StorageUnavailable
from collection_health.server import PIPELINE

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MAX_ERRORS = 1_000  # errors listed in one answer; the rest are counted
_encode = msgspec.json.Encoder().encode
_ONE_ACCEPTED = b'{"accepted":1,"rejected":0,"errors":[]}'


class Format(NamedTuple):
    """Another shape of body on this route, added by a plug-in; both functions get the headers."""

    protocol: str
    recognises: Callable[[Mapping[str, str]], bool]
    decode: Callable[[Mapping[str, str], bytes], Decoded]


FORMATS = web.AppKey("formats", list[Format])


def setup(app: web.Application) -> None:
    """Add the route."""
    app[FORMATS] = []
    app.router.add_post("/api/v1/outcomes", receive)


async def receive(request: web.Request) -> web.Response:
    """Record every valid item; answer 200, 207 when some were refused, 400 when all were."""
    body = await read_body(request)
    protocol = "json"
    try:
        for form in request.app[FORMATS]:
            if form.recognises(request.headers):
                protocol, items = form.protocol, form.decode(request.headers, body)
                break
        else:
            items = decode(request.content_type, body)
    except ValueError as error:
        return problem(400, "malformed body", str(error))
    return await submit(request, items, protocol)


def decode(content_type: str, body: bytes) -> Decoded:
    """Items of a body by its content type. Raises `ValueError` for what is not JSON at all."""
    if content_type in NDJSON:
        return decode_lines(body)
    return decode_json(body)


async def submit(request: web.Request, items: Decoded, protocol: str) -> web.Response:
    """Submit decoded items and answer with the number accepted and each error by index."""
    if not items:
        return problem(400, "empty body", "body: holds no outcome; allowed: at least one")
    try:
        results = await request.app[PIPELINE].submit(items, protocol)
    except (Overloaded, StorageUnavailable) as error:
        return unavailable(error)
    return answer(results)


def answer(results: Sequence[str | None]) -> web.Response:
    """The answer to a batch: ``{"accepted", "rejected", "errors": [{"index", "error"}]}``."""
    if len(results) == 1 and results[0] is None:
        return web.Response(body=_ONE_ACCEPTED, content_type="application/json")
    errors = [
        {"index": index, "error": text} for index, text in enumerate(results) if text is not None
    ]
    status = 200 if not errors else 400 if len(errors) == len(results) else 207
    body = {
        "accepted": len(results) - len(errors),
        "rejected": len(errors),
        "errors": errors[:MAX_ERRORS],
    }
    return web.Response(status=status, body=_encode(body), content_type="application/json")
