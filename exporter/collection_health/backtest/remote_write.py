"""Remote-write encoding of long series with numpy: millions of samples a second.

The protocol (Prometheus remote write 1.0) is a snappy-compressed protobuf ``WriteRequest``. Every
sample of one series has the same encoded length, so a whole series is one structured array.
"""

from collections.abc import Iterable, Iterator, Mapping

import cramjam
import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]  # milliseconds since the epoch
Values = NDArray[np.float64]

# Prometheus' "this series ended here" (model/value.StaleNaN); NaN proper is another bit pattern.
STALE = np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0]
STALE_BITS = np.uint64(0x7FF0000000000002)
NAN_BITS = np.uint64(0x7FF8000000000001)

EARLIEST_MS = 2**35  # 1971: below it a timestamp's varint is shorter than the six bytes laid out
_REQUEST_BYTES = 4 << 20

# One `repeated Sample samples = 2` entry: tag, length 16, double field 1, varint field 2.
_SAMPLE = np.dtype(
    [("head", "<u2"), ("value_tag", "u1"), ("value", "<u8"), ("time_tag", "u1"), ("time", "u1", 6)]
)


def encode_series(labels: Mapping[str, str], times: Times, values: Values) -> bytes:
    """One ``TimeSeries`` message, framed as an element of ``WriteRequest.timeseries``.

    ``times`` are ascending milliseconds (not before 1971), ``values`` as long; stale markers keep
    their bits.
    """
    return frame(encode_labels(labels), encode_samples(times, values))


def frame(labels: bytes, samples: bytes) -> bytes:
    """Encoded labels and samples as an element of ``WriteRequest.timeseries``."""
    return _field(1, labels + samples)


def encode_labels(labels: Mapping[str, str]) -> bytes:
    """The labels of a ``TimeSeries``; those without a value are left out."""
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for name, value in sorted(labels.items())
        if value
    )


def encode_samples(times: Times, values: Values) -> bytes:
    """The samples of a ``TimeSeries``; arguments as for `encode_series`."""
    samples = np.empty(len(times), dtype=_SAMPLE)
    samples["head"] = 0x1012
    samples["value_tag"] = 0x09
    samples["value"] = values.view(np.uint64)
    samples["time_tag"] = 0x10
    for byte in range(6):
        continued = 0x80 if byte < 5 else 0
        samples["time"][:, byte] = ((times >> (7 * byte)) & 0x7F) | continued
    return samples.tobytes()


def requests(encoded: Iterable[bytes]) -> Iterator[bytes]:
    """Compressed request bodies of at most a few megabytes each, series kept whole."""
    parts: list[bytes] = []
    size = 0
    for part in encoded:
        parts.append(part)
        size += len(part)
        if size >= _REQUEST_BYTES:
            yield bytes(cramjam.snappy.compress_raw(b"".join(parts)))
            parts, size = [], 0
    if parts:
        yield bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
