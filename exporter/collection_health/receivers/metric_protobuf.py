"""The Pushgateway's binary format: delimited ``io.prometheus.client.MetricFamily`` messages.

Go's ``push`` package sends it by default. Only what tells how a run ended is read: names, gauge,
counter and untyped values, and the sum and count of summaries and histograms. Field numbers are
those of ``io/prometheus/client/metrics.proto``.
"""

import struct
from collections.abc import Iterator

CONTENT_TYPE = "application/vnd.google.protobuf"

_NAME, _METRIC = 1, 4  # of MetricFamily
_TIMESTAMP = 6  # of Metric
_VALUES = (2, 3, 5)  # gauge, counter, untyped: their field 1 is a double
_DISTRIBUTIONS = (4, 7)  # summary, histogram: 1 is the count, 2 the sum
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MAX_VARINT = 10  # bytes


def parse(body: bytes) -> list[tuple[str, float]]:
    """Names and values of a body's samples. Raises `ValueError` for anything but that format."""
    samples: list[tuple[str, float]] = []
    position = 0
    while position < len(body):
        length, position = _varint(body, position)
        family = _slice(body, position, length)
        position += length
        samples.extend(_family(family))
    return samples


def _family(message: bytes) -> Iterator[tuple[str, float]]:
    fields = list(_fields(message))
    name = next((_text(value) for number, value in fields if number == _NAME), "")
    for number, metric in fields:
        if number == _METRIC and isinstance(metric, bytes):
            yield from _metric(name, metric)


def _metric(name: str, message: bytes) -> Iterator[tuple[str, float]]:
    for number, value in _fields(message):
        if number == _TIMESTAMP:
            raise ValueError(f"pushed metrics must not have timestamps: {name}")
        if not isinstance(value, bytes):
            continue
        if number in _VALUES:
            # a field that is not there has its type's default
            yield name, next((_double(field) for key, field in _fields(value) if key == 1), 0.0)
        elif number in _DISTRIBUTIONS:
            for key, field in _fields(value):
                if key == 1 and isinstance(field, int):
                    yield f"{name}_count", float(field)
                elif key == 2:
                    yield f"{name}_sum", _double(field)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values of a message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"protobuf: unknown wire type {kind}")
        yield number, _slice(message, position, length)
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise ValueError("protobuf: truncated or overlong number")


def _slice(data: bytes, position: int, length: int) -> bytes:
    if position + length > len(data):
        raise ValueError("protobuf: truncated message")
    return data[position : position + length]


def _double(raw: int | bytes) -> float:
    if not isinstance(raw, bytes) or len(raw) != 8:
        raise ValueError("protobuf: a value is not a double")
    return float(struct.unpack("<d", raw)[0])


def _text(raw: int | bytes) -> str:
    if not isinstance(raw, bytes):
        raise ValueError("protobuf: a name is not a text")
    return raw.decode()
