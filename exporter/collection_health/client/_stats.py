"""Counts of what became of the events of one client."""


class Stats:
    """What became of the events of one process since it started, in events."""

    __slots__ = ("delivered", "dropped", "last_rejection", "rejected", "spooled")

    def __init__(self) -> None:
        self.delivered = 0  # acknowledged by the exporter, leftovers of others included
        self.spooled = 0  # written to the spool, whether delivered since or not
        self.rejected = 0  # refused for good; see rejected.jsonl in the spool
        self.dropped = 0  # lost: the spool was full, or the buffer without one
        self.last_rejection = ""  # in the exporter's words
