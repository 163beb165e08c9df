"""Pieces of the pages: a collector's state, its runs as a strip, why it fails, what is done."""

from datetime import datetime
from html import escape
from urllib.parse import quote

from collection_health.api import shapes
from collection_health.times import span

_SIGNS: dict[shapes.StateName, str] = {
    "failing": "✖", "degraded": "▲", "unknown": "?", "healthy": "●",
}  # fmt: skip


def link(name: str, below: str = "") -> str:
    """The path of a collector's page, or of one below it."""
    return f"/collectors/{quote(name, safe='')}{below}"


def chip(state: shapes.StateName) -> str:
    """The state as sign, word and colour: none alone carries it."""
    sign = f'<span aria-hidden="true">{_SIGNS[state]}</span>'
    return f'<span class="state state-{state}">{sign} {state}</span>'


def strip(runs: list[shapes.RunKind]) -> str:
    """The newest runs as bars, with words for who cannot see them."""
    if not runs:
        return '<p class="soft">No run yet.</p>'
    bars = "".join("<i></i>" if kind == "good" else f'<i class="{kind}"></i>' for kind in runs)
    bad = runs.count("bad")
    label = f"{bad} of the last {len(runs)} runs failed"
    return f'<div class="strip" role="img" aria-label="{label}" title="{label}">{bars}</div>'


def since(moment: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was; ``never`` without one."""
    if moment is None:
        return "never"
    return span(max(0.0, now - datetime.fromisoformat(moment).timestamp()))


def headline(item: shapes.Collector, now: float) -> str:
    """The state, and for how long an open incident has lasted."""
    lasting = item.facts.failing_since
    text = f' <span class="soft">for {since(lasting, now)}</span>' if lasting else ""
    return chip(item.state) + text


def summary(item: shapes.Collector) -> str:
    """Why it fails and what is being done, as HTML."""
    wrong = "".join(f"<p>{escape(line)}</p>" for line in item.why)
    done = escape("; ".join(item.doing))
    being = f"<p><b>Being done:</b> {done}</p>" if done else ""
    nobody = item.state == "failing" and not done
    return wrong + being + ('<p class="soft">Nobody is on it yet.</p>' if nobody else "")


def facts_line(item: shapes.Collector, now: float) -> str:
    """Last and next run, in a line of text."""
    facts = item.facts
    parts = [f"last run {_ago(facts.last_run, now)}"] if facts.last_run else []
    if facts.last_run and facts.last_success != facts.last_run:
        parts.append(f"last good run {_ago(facts.last_success, now)}")
    if facts.running:
        parts.append("running now")
    elif facts.next_run:
        due = datetime.fromisoformat(facts.next_run).timestamp()
        parts.append(f"next in {span(due - now)}" if due > now else f"due since {span(now - due)}")
    return ", ".join(parts)


def _ago(moment: str | None, now: float) -> str:
    return f"{since(moment, now)} ago" if moment else "never"


def forms(item: shapes.Collector, recovers: bool) -> str:
    """Buttons for the controls; each is a form of its own that works without scripts."""
    held = item.controls
    parts = []
    if "acknowledged" in held:
        parts.append(_button(item.name, "unack", "End acknowledgement"))
    elif item.facts.failing_since:
        parts.append(_button(item.name, "ack", "Acknowledge", ("4h", "1h", "1d")))
    if "paused" in held:
        parts.append(_button(item.name, "resume", "Resume"))
    else:
        parts.append(_button(item.name, "pause", "Pause", ("1d", "1h", "7d")))
    if "maintenance" in held:
        hidden = '<input type="hidden" name="active" value="false">'
        parts.append(_button(item.name, "maintenance", "End maintenance", hidden=hidden))
    else:
        parts.append(_button(item.name, "maintenance", "Maintenance", ("1h", "4h", "1d")))
    if item.recovery is not None and item.recovery.phase == "proposed":
        path = f"/api/v1/recoveries/{quote(item.recovery.id, safe='')}"
        parts += [_form(f"{path}/approve", "", "Approve the recovery"),
                  _form(f"{path}/cancel", "", "Decline it")]  # fmt: skip
    elif recovers and item.facts.failing_since:
        parts.append(_button(item.name, "recover", "Recover now"))
    return "".join(parts)


def _button(
    name: str, verb: str, text: str, durations: tuple[str, ...] = (), *, hidden: str = ""
) -> str:
    """A form with one button; the first of ``durations`` is the usual one."""
    action = f"/api/v1/collectors/{quote(name, safe='')}/{verb}"
    key = f"{verb}-{quote(name, safe='')}"
    fields = hidden
    if durations:
        options = "".join(f"<option>{value}</option>" for value in durations)
        fields += (
            f'<div><label for="{key}-for">For</label>'
            f'<select id="{key}-for" name="duration">{options}</select></div>'
            f'<div><label for="{key}-by">Your name</label>'
            f'<input id="{key}-by" name="actor" maxlength="100" autocomplete="name"></div>'
            f'<div><label for="{key}-why">Why</label>'
            f'<input id="{key}-why" name="reason" maxlength="500"></div>'
        )
    return _form(action, fields, text)


def _form(action: str, fields: str, text: str) -> str:
    return (
        f'<form class="row" method="post" action="{action}">{fields}<button>{text}</button></form>'
    )
