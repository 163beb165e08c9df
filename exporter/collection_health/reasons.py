"""Why a run failed: one closed set, and the one table that maps everybody's words to it."""

import builtins

REASONS = (
    "connection", "timeout", "auth", "rate_limited", "blocked", "upstream", "not_found",
    "parse", "schema", "quality", "empty", "storage", "resource", "config", "dependency",
    "unknown",
)  # fmt: skip
EXPORTER_REASONS = ("missed", "overrun")  # written by the exporter alone
ALL_REASONS = REASONS + EXPORTER_REASONS
STAGES = ("connect", "auth", "fetch", "parse", "validate", "load")

# What recovery may try depends on the class: transient reasons heal by themselves or by a
# retry; access and data reasons need a person; environment reasons need the platform.
CLASS_OF = {
    "connection": "transient", "timeout": "transient", "rate_limited": "transient",
    "upstream": "transient", "missed": "transient", "overrun": "transient",
    "auth": "access", "blocked": "access", "not_found": "access",
    "parse": "data", "schema": "data", "quality": "data", "empty": "data",
    "storage": "environment", "resource": "environment", "config": "environment",
    "dependency": "environment", "unknown": "transient",
}  # fmt: skip

_EXIT_CODES = {
    124: "timeout", 137: "resource", 126: "config", 127: "config",
    # BSD sysexits(3), which many batch tools follow
    64: "config", 65: "parse", 66: "not_found", 68: "connection", 69: "upstream",
    73: "storage", 74: "storage", 75: "upstream", 77: "auth", 78: "config",
}  # fmt: skip

# Lower-case endings of exception class names, most specific first.
_EXCEPTION_SUFFIXES = (
    ("toomanyrequests", "rate_limited"), ("ratelimiterror", "rate_limited"),
    ("ratelimitexceeded", "rate_limited"), ("throttlingexception", "rate_limited"),
    ("toomanyrequestserror", "rate_limited"),
    ("timeouterror", "timeout"), ("timeout", "timeout"), ("timedout", "timeout"),
    ("deadlineexceeded", "timeout"), ("timeoutexpired", "timeout"), ("timeoutexception", "timeout"),
    ("authenticationerror", "auth"), ("authorizationerror", "auth"), ("unauthorized", "auth"),
    ("unauthorizederror", "auth"), ("accessdenied", "auth"), ("invalidcredentials", "auth"),
    ("credentialserror", "auth"), ("nocredentialserror", "auth"), ("refresherror", "auth"),
    ("invalidpassword", "auth"), ("invalidauthorizationspecification", "auth"),
    ("autherror", "auth"), ("tokenexpirederror", "auth"), ("expiredtokenexception", "auth"),
    ("forbidden", "auth"), ("permissiondenied", "auth"),
    ("captchaerror", "blocked"), ("blockederror", "blocked"), ("ignorerequest", "blocked"),
    ("filenotfounderror", "not_found"), ("notfound", "not_found"), ("notfounderror", "not_found"),
    ("nosuchkey", "not_found"), ("nosuchbucket", "not_found"), ("undefinedtable", "schema"),
    ("undefinedcolumn", "schema"), ("schemaerror", "schema"), ("validationerror", "schema"),
    ("schemamismatch", "schema"), ("pandera.errors.schemaerrors", "schema"),
    ("bindererror", "schema"), ("catalogerror", "schema"), ("compilationerror", "config"),
    ("schemaerrors", "schema"), ("keyerror", "schema"), ("indexerror", "schema"),
    ("attributeerror", "schema"), ("datatypemismatch", "schema"),
    ("jsondecodeerror", "parse"), ("decodeerror", "parse"), ("parseerror", "parse"),
    ("parsererror", "parse"), ("unicodedecodeerror", "parse"), ("xmlsyntaxerror", "parse"),
    ("syntaxerror", "parse"), ("valueerror", "parse"), ("contentdecodingerror", "parse"),
    ("emptydataerror", "empty"), ("emptyerror", "empty"), ("nodataerror", "empty"),
    ("memoryerror", "resource"), ("outofmemory", "resource"), ("blockingioerror", "resource"),
    ("toomanyconnections", "resource"), ("recursionerror", "resource"),
    ("diskfull", "storage"), ("diskfullerror", "storage"),
    ("importerror", "config"), ("modulenotfounderror", "config"), ("configerror", "config"),
    ("configurationerror", "config"), ("improperlyconfigured", "config"),
    ("permissionerror", "config"), ("missingschema", "config"), ("invalidurl", "config"),
    ("connectionerror", "connection"), ("connecterror", "connection"),
    ("connectionrefused", "connection"), ("connectionrefusederror", "connection"),
    ("connectionreseterror", "connection"), ("connectionabortederror", "connection"),
    ("connectionlost", "connection"), ("connectiondone", "connection"),
    ("brokenpipeerror", "connection"), ("disconnectederror", "connection"),
    ("serverdisconnectederror", "connection"), ("clientconnectorerror", "connection"),
    ("newconnectionerror", "connection"), ("maxretryerror", "connection"),
    ("dnslookuperror", "connection"), ("gaierror", "connection"), ("sslerror", "connection"),
    ("proxyerror", "connection"), ("networkerror", "connection"), ("readerror", "connection"),
    ("incompleteread", "connection"), ("remotedisconnected", "connection"),
    ("responseneverreceived", "connection"), ("responsefailed", "connection"),
    ("urlerror", "connection"), ("operationalerror", "connection"),
    ("interfaceerror", "connection"),
    ("integrityerror", "storage"), ("databaseerror", "storage"),
    ("httperror", "upstream"), ("httpstatuserror", "upstream"), ("badgateway", "upstream"),
    ("serviceunavailable", "upstream"), ("internalservererror", "upstream"),
    ("clientresponseerror", "upstream"), ("httpexception", "upstream"),
)  # fmt: skip


def from_http_status(status: int, scraper: bool = False) -> str | None:
    """The reason of an upstream's HTTP status (None below 400); 403 is a block for scrapers."""
    if status < 400:
        return None
    if status == 403:
        return "blocked" if scraper else "auth"
    named = {
        401: "auth", 407: "auth", 404: "not_found", 410: "not_found", 408: "timeout",
        504: "timeout", 425: "rate_limited", 429: "rate_limited", 422: "schema", 451: "blocked",
        507: "storage",
    }  # fmt: skip
    return named.get(status, "upstream" if status >= 500 else "config")


def from_exit_code(code: int) -> str | None:
    """The reason of a process exit code (None for 0): 124 timeout, 137 resource, sysexits."""
    if code == 0:
        return None
    return _EXIT_CODES.get(code, "unknown")


def from_exception_name(name: str) -> str | None:
    """The reason of an exception by its (dotted) class name, or None where it tells nothing."""
    lowered = name.rsplit(".", 1)[-1].lower()
    for suffix, reason in _EXCEPTION_SUFFIXES:
        if lowered.endswith(suffix):
            return reason
    return None


def from_exception(error: BaseException) -> str:
    """The reason of a Python exception: its HTTP status, errno and class names up the MRO."""
    status = _status_of(error)
    if status is not None:
        reason = from_http_status(status)
        if reason is not None:
            return reason
    if isinstance(error, OSError) and error.errno in (28, 30, 122):  # ENOSPC, EROFS, EDQUOT
        return "storage"
    return _reason_of(error) or "unknown"


def _reason_of(error: BaseException, depth: int = 0) -> str | None:
    """By the class names, else by what the error says it came from (at most four levels)."""
    wrapped = getattr(error, "reason", None)  # urllib's URLError and its like
    if isinstance(wrapped, BaseException) and depth < 4:
        reason = _reason_of(wrapped, depth + 1)
        if reason is not None:
            return reason
    for kind in type(error).__mro__:
        if kind in (builtins.Exception, builtins.BaseException, builtins.OSError, object):
            continue
        reason = from_exception_name(kind.__name__)
        if reason is not None:
            return reason
    if depth < 4:
        origin = error.__cause__ or error.__context__
        if origin is not None:
            return _reason_of(origin, depth + 1)
    return None


def _status_of(error: BaseException) -> int | None:
    """An HTTP status carried as ``status``, ``status_code``, ``code`` or on ``.response``."""
    for holder in (error, getattr(error, "response", None)):
        for attribute in ("status_code", "status", "code"):
            value = getattr(holder, attribute, None)
            if isinstance(value, int) and 100 <= value <= 599:
                return value
    return None
