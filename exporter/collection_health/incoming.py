"""What comes in over HTTP: bodies within their limits, and problems as answers."""

import asyncio

from aiohttp import web

from collection_health import webconfig

MAX_BODY = 4 * 2**20  # bytes of a request body after decompression
BODY_SECONDS = 30.0  # for a body to arrive
ENCODINGS = ("identity", "gzip", "deflate")  # of request bodies


def problem(status: int, title: str, detail: str) -> web.Response:
    """An RFC 9457 problem document."""
    return web.json_response(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )


def unavailable(error: Exception) -> web.Response:
    """503 with ``Retry-After``: clients retry 5xx only, so overload is never a 429."""
    response = problem(503, "try again", str(error))
    response.headers["Retry-After"] = "1"
    return response


async def read_body(
    request: web.Request, limit: int = MAX_BODY, scope: webconfig.Scope = "write"
) -> bytes:
    """The (decompressed) body of a request whose sender holds ``scope``.

    Nothing is read from anybody else. Raises a problem as `web.HTTPException`: 401 or 403 for
    the sender, 413 beyond ``limit`` bytes, 408 when it does not arrive within `BODY_SECONDS`,
    415 for a content encoding other than `ENCODINGS`, 400 for a broken one.
    """
    webconfig.authorize(request, scope)
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ENCODINGS:
        raise _unknown_encoding(encoding)
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    try:
        if request.content.is_eof():  # it came with the headers: the usual case, without a timer
            body = request.content.read_nowait()
            if len(body) > limit:
                raise _too_large(limit)
            return body
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_chunks(request, limit)
    except (web.HTTPException, asyncio.CancelledError, ConnectionError):
        raise
    except TimeoutError:
        raise _http_problem(
            web.HTTPRequestTimeout, 408, "body too slow",
            f"body: did not arrive within {BODY_SECONDS:g} s",
        ) from None  # fmt: skip
    except Exception as error:  # aiohttp raises several kinds for damaged encodings
        refusal = _http_problem(
            web.HTTPBadRequest, 400, "malformed body",
            f"body: cannot be read with Content-Encoding "
            f"{request.headers.get('Content-Encoding', 'identity')!r}: {error}",
        )  # fmt: skip
        abandon(request)
        refusal.force_close()
        raise refusal from error


def abandon(request: web.Request) -> None:
    """Read no more of a damaged body: aiohttp would, meet the error again and log it as a fault
    of ours."""
    request.content.feed_eof()


async def _read_chunks(request: web.Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


def _too_large(limit: int) -> web.HTTPException:
    return _http_problem(
        web.HTTPRequestEntityTooLarge, 413, "body too large",
        f"body: larger than allowed; allowed: {limit} bytes, decompressed",
    )  # fmt: skip


def _unknown_encoding(encoding: str) -> web.HTTPException:
    refusal = _http_problem(
        web.HTTPUnsupportedMediaType, 415, "unknown content encoding",
        f"Content-Encoding: {encoding!r} is not known; allowed: {', '.join(ENCODINGS)}",
    )  # fmt: skip
    refusal.headers["Accept-Encoding"] = ", ".join(ENCODINGS[1:])  # RFC 9110, section 15.5.16
    return refusal


def _http_problem(
    kind: type[web.HTTPException], status: int, title: str, detail: str
) -> web.HTTPException:
    text = problem(status, title, detail).text
    if kind is web.HTTPRequestEntityTooLarge:
        return web.HTTPRequestEntityTooLarge(0, text=text, content_type="application/problem+json")
    return kind(text=text, content_type="application/problem+json")
