"""Reading histories, incidents and rules: everything wrong is named by line and counted."""

import json
from pathlib import Path

import pytest

from collection_health.backtest import history, ruleset
from tests.backtest.support import MONDAY, outcome, text, write_history

SPAN = (MONDAY, MONDAY + 86400)


def test_a_history_of_many_faults_keeps_every_good_line(tmp_path: Path) -> None:
    """Bad lines are skipped by number, good ones sorted, repeats counted once."""
    good = [
        outcome("a", MONDAY + 600, run_id="2"),
        outcome("a", MONDAY + 300, run_id="1"),
        outcome("b", MONDAY, event_id="x"),
        outcome("b", MONDAY + 900, event_id="x"),
        outcome("a", MONDAY + 600, run_id="2"),
        {"collector": "c", "outcome": "success", "occurred_at": "2026-03-02T01:00:00+01:00"},
        outcome("a", MONDAY + 900, surprise=1, records={"collected": 3, "lost": 4}),
    ]
    bad = [
        "{not json",
        "[]",
        json.dumps({"collector": "a", "outcome": "exploded", "finished_at": text(MONDAY)}),
        json.dumps({"collector": "a", "outcome": "success"}),
        json.dumps({"collector": "a", "outcome": "success", "finished_at": "2026-03-02T00:00:00"}),
        json.dumps(outcome("bad name", MONDAY)),
        json.dumps(outcome("a", MONDAY, records={"collected": -1})),
    ]
    path = tmp_path / "h.ndjson"
    lines = "\r\n".join([*map(json.dumps, good), "", *bad]) + "\r\n"
    path.write_bytes(lines.encode("utf-8-sig"))  # as a spreadsheet on Windows saves it
    read = history.read(path)
    assert (read.lines, read.accepted, read.duplicates, read.out_of_order) == (14, 5, 2, 3)
    assert [event.at for event in read.outcomes["a"]] == [MONDAY + n for n in (300, 600, 900)]
    assert read.outcomes["c"][0].at == MONDAY
    assert read.unknown_fields == {"surprise": 1, "records.lost": 1}
    assert [item.line for item in read.skipped] == [9, 10, 11, 12, 13, 14, 15]
    problems = [item.problem for item in read.skipped]
    assert "not valid JSON" in problems[0]
    assert "started, success" in problems[2]
    assert "no time" in problems[3]
    assert "bad name" in problems[5]
    assert "records.collected" in problems[6]


def test_runs_the_exporter_wrote_off_are_derived_again(tmp_path: Path) -> None:
    """A ledger's own missed and overrun events do not count twice."""
    path = write_history(
        tmp_path / "h",
        [outcome("a", MONDAY), outcome("a", MONDAY + 60, "failure", reason="missed")],
    )
    read = history.read(path)
    assert (read.accepted, read.derived, read.skipped) == (1, 1, [])


def test_one_long_run_at_the_end_does_not_make_the_others_look_stopped(tmp_path: Path) -> None:
    """The history ends when its last run began."""
    late = outcome("long", MONDAY + 9000, started_at=text(MONDAY + 3500))
    path = write_history(tmp_path / "h", [outcome("a", MONDAY), outcome("a", MONDAY + 3600), late])
    assert history.read(path).end == MONDAY + 3600


def test_a_history_without_any_outcome_is_an_error(tmp_path: Path) -> None:
    """Nothing to replay is an error that shows the first problem."""
    path = tmp_path / "h"
    path.write_text("{}\n")
    with pytest.raises(history.InputError, match=r"no usable outcome in 1 lines; line 1: "):
        history.read(path)
    with pytest.raises(history.InputError, match="cannot be read"):
        history.read(tmp_path / "absent")


def test_incidents_that_cannot_be_judged_are_shown_by_line(tmp_path: Path) -> None:
    """Overlaps are scored and remarked; incidents of nobody, backwards or outside are skipped."""
    hour = [text(MONDAY + 3600 * n) for n in range(30)]
    path = tmp_path / "i.csv"
    path.write_text(
        "target,start,end,kind,collectors\n"
        f"a,{hour[1]},{hour[3]},stall,a\n"
        f"a,{hour[2]},{hour[4]},quality,a\n"
        f"db,{hour[5]},{hour[6]},dependency,a zz\n"
        f"nobody,{hour[5]},{hour[6]},stall,\n"
        f",{hour[5]},{hour[6]},stall,\n"
        f"a,{hour[6]},{hour[5]},stall,a\n"
        "a,yesterday,today,stall,a\n"
        f"a,2026-03-02T01:00:00,{hour[5]},stall,a\n"
        f"a,{hour[28]},{hour[29]},stall,a\n"
        "a,b\n"
    )
    found = history.read_incidents(path, ["a", "b", "db"], SPAN)
    assert [(i.kind, sorted(i.names)) for i in found.incidents] == [
        ("stall", ["a"]),
        ("quality", ["a"]),
        ("dependency", ["a", "db", "zz"]),
    ]
    assert [item.line for item in found.skipped] == [5, 6, 7, 8, 9, 10, 11]
    assert [(w.line, w.problem) for w in found.warnings] == [
        (4, "not in the history: zz"),
        (3, "a: overlaps line 2; both are scored"),
    ]
    path.write_text("who,when\n")
    with pytest.raises(
        history.InputError, match=r"i\.csv:1: header is 'who,when'; allowed: target,"
    ):
        history.read_incidents(path, ["a"], SPAN)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("groups: [", r"r\.yml: not valid YAML"),
        ("a: 1", r"r\.yml: not a rule file"),
        ("groups:\n  - name: g\n    rules:\n      - expr: up\n", r"r\.yml:4: a rule needs either"),
        ("groups:\n  - name: g\n    rules:\n      - alert: A\n", r"r\.yml:4: A: 'expr' is missing"),
        (
            "groups:\n  - name: g\n    rules:\n      - {record: 'a:b', expr: 'sum(('}\n",
            r"r\.yml:4: a:b: expression does not parse",
        ),
        (
            "groups:\n  - name: g\n    rules:\n      - {alert: A, expr: up, for: soon}\n",
            r"r\.yml:4: A: for: 'soon' is not a duration",
        ),
        ("groups: []\n", "no rule found"),
    ],
)
def test_rules_that_do_not_parse_are_named_with_their_line(
    tmp_path: Path, rules: str, message: str
) -> None:
    """File, line, rule and what is allowed."""
    (tmp_path / "r.yml").write_text(rules)
    with pytest.raises(ruleset.RuleError, match=message):
        ruleset.load([tmp_path])


def test_rules_are_ordered_and_those_without_history_left_out(tmp_path: Path) -> None:
    """What reads only foreign metrics is listed; a rule that reads itself is an error."""
    (tmp_path / "r.yml").write_text(
        "groups:\n  - name: g\n    rules:\n"
        "      - {record: 'c:unread', expr: raw}\n"
        "      - {record: 'c:z', expr: 'c:a + ignoring (x) ALERTS{alertname=\"Down\"}'}\n"
        "      - {alert: Late, expr: 'c:z > 1'}\n"
        "      - {record: 'c:a', expr: 'max by (collector) (raw)'}\n"
        "      - {alert: Down, expr: 'c:a == 0 or absent(up)'}\n"
        "      - {alert: Watchdog, expr: vector(1)}\n"
        "      - {alert: Foreign, expr: 'prometheus_up == 0'}\n"
    )
    plan = ruleset.plan(ruleset.load([tmp_path]), frozenset({"raw"}))
    names = [rule.name for rule in plan.rules]
    assert names == ["c:a", "Down", "c:z", "Late"]
    assert plan.inputs == {"raw"}
    assert [rule.name for rule in plan.unread] == ["c:unread"]
    assert [(rule.name, why) for rule, why in plan.left_out] == [
        ("Watchdog", "reads no series of history"),
        ("Foreign", "reads only prometheus_up"),
    ]
    (tmp_path / "r.yml").write_text(
        "groups:\n  - name: g\n    rules:\n      - {record: 'a:b', expr: 'raw + a:b'}\n"
    )
    with pytest.raises(ruleset.RuleError, match=r"depend on themselves.*a:b \(.*r\.yml:4\)"):
        ruleset.plan(ruleset.load([tmp_path]), frozenset({"raw"}))
