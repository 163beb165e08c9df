"""``/openapi.json``: OpenAPI 3.1, made from the route table and the types it names."""

import re
from typing import Any

import msgspec
from aiohttp import web

from collection_health import __version__, webconfig
from collection_health.api import shapes
from collection_health.api.table import ROUTES, Route
from collection_health.events import NAME_PATTERN
from collection_health.inventory_schema import Duration

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_GENERAL = {
    400: "The query or body is not valid; `detail` names the field and what is allowed.",
    401: "Credentials are needed.",
    403: "The credentials do not hold the scope, or a page of another site sent this.",
    503: "The exporter cannot do this now; try again after `Retry-After` seconds.",
}
_PATTERNS = {"name": NAME_PATTERN, "fingerprint": "^[0-9a-f]{1,64}$"}


def setup(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/openapi.json", serve)


@webconfig.require("read")
async def serve(request: web.Request) -> web.Response:
    """The document."""
    body = msgspec.json.encode(document(request.app[ROUTES]))
    return web.Response(body=body, content_type="application/json")


def document(routes: list[Route]) -> dict[str, Any]:
    """The OpenAPI document of ``routes``."""
    types: list[Any] = [shapes.ProblemDocument]
    for route in routes:
        types += [kind for kind in (route.answer, route.body, route.query) if kind is not None]
    unique = list(dict.fromkeys(types))
    found, schemas = msgspec.json.schema_components(
        unique, schema_hook=_schema_of, ref_template=_REF
    )
    if "Outcome" in schemas:
        _as_sent(schemas["Outcome"])
    schema_by_type = dict(zip(unique, found, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        for path, verb in _spelled(route):
            operation = _operation(route, path, verb, schema_by_type, schemas)
            paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Collection Health",
            "version": __version__,
            "description": "Health of collectors: facts from the exporter, conclusions from the "
            "rules in Prometheus. Percent-encode names: `/` as %2F.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "user": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"token": []}, {"user": []}],
    }


def _as_sent(outcome: dict[str, Any]) -> None:
    """An outcome as clients send it: without what the exporter adds."""
    for name in ("event", "source", "at"):
        outcome["properties"].pop(name)
    outcome["required"].remove("event")


def _spelled(route: Route) -> list[tuple[str, str]]:
    """The route's paths in OpenAPI's notation; ``{verb:a|b}`` becomes one path a verb."""
    verbs = re.search(r"\{verb:([^}]*)\}", route.path)
    if verbs is None:
        return [(_PARAMETER.sub(r"{\1}", route.path), "")]
    return [
        (_PARAMETER.sub(r"{\1}", route.path.replace(verbs[0], verb)), verb)
        for verb in verbs[1].split("|")
    ]


def _operation(
    route: Route, path: str, verb: str, types: dict[Any, Any], schemas: dict[str, Any]
) -> dict[str, Any]:
    words = [route.method.lower(), *re.findall(r"\w+", path.replace("/api/v1", ""))]
    operation: dict[str, Any] = {
        "operationId": "_".join(words),
        "summary": f"{verb}: {route.summary}" if verb else route.summary,
        "description": f"Needs the scope `{route.scope}` where credentials are configured.",
        "parameters": [*_path_parameters(path), *_query_parameters(route, schemas)],
        "responses": _responses(route, types),
    }
    if route.body is not None:
        content = {"application/json": {"schema": types[route.body]}}
        operation["requestBody"] = {"required": False, "content": content}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string", "pattern": _PATTERNS.get(name, r"^[\w.-]{1,100}$")},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]  # fmt: skip


def _query_parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties = schemas[route.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is absent is not null."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "anyOf" in kept:
        kinds = [kind for kind in kept["anyOf"] if kind != {"type": "null"}]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "enum" in kept:
        return {"enum": [value for value in kept["enum"] if value is not None]}
    return kept


def _responses(route: Route, types: dict[Any, Any]) -> dict[str, Any]:
    schema = types[route.answer] if route.answer is not None else {"type": "string"}
    good: dict[str, Any] = {"content": {route.media: {"schema": schema}}}
    problem = {"schema": types[shapes.ProblemDocument]}
    responses = {str(route.status): {"description": "Done.", **good}}
    if route.method == "GET" and route.answer is not None:
        responses["304"] = {"description": "As the `If-None-Match` of the request says."}
    for status, text in {**_GENERAL, **route.others}.items():
        answers = {"application/problem+json": problem}
        if status in route.alike:
            answers[route.media] = {"schema": schema}
        responses[str(status)] = {"description": text, "content": answers}
    return dict(sorted(responses.items()))


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Duration:
        return {
            "description": "Seconds, or text such as 90s, 15m, 1h30m.",
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
        }
    raise NotImplementedError(kind)
