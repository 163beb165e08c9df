"""The text of ``/metrics``: rendered per collector and family, again only for what changed.

An unchanged fleet is the usual one, so a scrape mostly joins text that is already there.
"""

from collection_health.inventory import CollectorConfig
from collection_health.metrics import FAMILIES, Context, Family, Labels
from collection_health.state import CollectorState
from collection_health.timing import timing


class Exposition:
    """The collectors' part of ``/metrics``, rendered only for what changed."""

    def __init__(self) -> None:
        self.deadlines: dict[str, float | None] = {}  # of the collectors that ever reported
        self._index: dict[str, int] = {}
        self._chunks: list[list[bytes]] = [[] for _ in FAMILIES]
        self._label_text: dict[Labels, str] = {}
        self._headers = {
            False: [_header(family, open_metrics=False) for family in FAMILIES],
            True: [_header(family, open_metrics=True) for family in FAMILIES],
        }

    def update(self, state: CollectorState, config: CollectorConfig, now: float) -> None:
        """Render one collector again."""
        index = self._index.setdefault(state.name, len(self._index))
        if index == len(self._chunks[0]):
            for chunks in self._chunks:
                chunks.append(b"")
        context = Context(state, config, timing(state, config), now)
        if state.last_run or state.last_started:
            self.deadlines[state.name] = context.timing.deadline
        base = f'{{collector="{_escape(state.name)}"'
        for family, chunks in zip(FAMILIES, self._chunks, strict=True):
            name = family.name
            chunks[index] = "".join(
                f"{name}{suffix}{base}{self._text(labels)}}} {value}\n"
                for suffix, labels, value in family.samples(context)
            ).encode()

    def remove(self, name: str) -> None:
        """Forget one collector's series."""
        self.deadlines.pop(name, None)
        index = self._index.get(name)  # its place stays: a collector that left may come back
        if index is not None:
            for chunks in self._chunks:
                chunks[index] = b""

    def render(self, open_metrics: bool) -> bytes:
        """The text of all collectors, family by family (no ``# EOF``)."""
        parts: list[bytes] = []
        for header, chunks in zip(self._headers[open_metrics], self._chunks, strict=True):
            parts.append(header)
            parts.extend(chunks)
        return b"".join(parts)

    def _text(self, labels: Labels) -> str:
        text = self._label_text.get(labels)
        if text is None:
            text = "".join(f',{name}="{_escape(value)}"' for name, value in labels)
            if len(self._label_text) > 10_000:  # versions and the like come and go
                self._label_text.clear()
            self._label_text[labels] = text
        return text


def _header(family: Family, open_metrics: bool) -> bytes:
    name = family.name
    if family.kind == "counter" and not open_metrics:
        name += "_total"
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n".encode()


def _escape(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value
