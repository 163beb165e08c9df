"""Nothing vanishes between two evaluations of a slow group, nor with one that is missed.

promtool evaluates all groups at one pace, so this reads the expressions instead.
"""

import promql_parser
import pytest

from collection_health.backtest import ruleset
from tests.rules.test_pack import GENERATED

LOOKBACK = 300.0  # seconds an instant selector looks back, Prometheus's default
RULES = ruleset.load([GENERATED])
WRITERS = {
    rule.name: (rule.interval or 0.0, rule.group)
    for rule in sorted(RULES, key=lambda rule: rule.interval or 0.0)
    if not rule.alerting
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.group}:{rule.name}")
def test_reads_what_is_recorded_rarely_over_a_range(rule: ruleset.Rule) -> None:
    """Instant selectors do not look back as far as such a group's last evaluation; what takes the newest
    value out of a range finds one though an evaluation was missed. In the same group as well:
    vmalert writes what a rule found only after the group."""
    for node in ruleset.nodes(promql_parser.parse(rule.expr)):
        if isinstance(node, promql_parser.VectorSelector):
            interval, _ = WRITERS.get(node.name, (0.0, ""))
            assert interval < LOOKBACK, f"{node.name} is recorded every {interval:.0f} s"
        if isinstance(node, promql_parser.Call) and node.func.name == "last_over_time":
            selector = node.args[0].vector_selector
            interval, group = WRITERS.get(selector.name, (0.0, ""))
            least = interval if group == rule.group else 2 * interval
            span = node.args[0].range.total_seconds()
            assert span > least, f"{selector.name} over {span:.0f} s"
