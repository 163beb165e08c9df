"""A rule set as Sloth generates it: one SLO per collector, 8 windows, 7 meta rules, 2 alerts."""
# ruff: noqa: E501  # queries read better unwrapped

from typing import Any

# Windows of Sloth's default 30-day SLO; the last is built from the first.
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


def sloth_ids(collector: str) -> dict[str, str]:
    """The labels of everything that Sloth records about one SLO."""
    return {
        "sloth_id": f"{collector}-availability",
        "sloth_service": collector,
        "sloth_slo": "availability",
    }


def sloth(count: int) -> dict[str, Any]:
    """One SLO per collector: the rules Sloth generates for an events SLI."""
    groups = []
    for number in range(count):
        collector = f"c{number:05d}"
        ids = sloth_ids(collector)
        selector = f'{{sli="availability", collector="{collector}"}}'
        where = (
            f'sloth_id="{ids["sloth_id"]}", sloth_service="{collector}", sloth_slo="availability"'
        )

        def ratio(window: str, selector: str = selector, where: str = where) -> str:
            if window == "30d":
                series = f"slo:sli_error:ratio_rate5m{{{where}}}[30d]"
                return (
                    f"sum_over_time({series}) / ignoring (sloth_window) count_over_time({series})"
                )
            rates = [
                f"sum(rate(collection_sli_{kind}_total{selector}[{window}]))"
                for kind in ("errors", "events")
            ]
            return f"({rates[0]}) / ({rates[1]})"

        groups.append({
            "name": f"sloth-slo-sli-recordings-{collector}",
            "rules": [
                {"record": f"slo:sli_error:ratio_rate{window}", "expr": ratio(window),
                 "labels": {**ids, "sloth_window": window}}
                for window in WINDOWS
            ],
        })  # fmt: skip
        budget = f"slo:error_budget:ratio{{{where}}}"
        meta = [
            ("slo:objective:ratio", "vector(0.995)"),
            ("slo:error_budget:ratio", "vector(1-0.995)"),
            ("slo:time_period:days", "vector(30)"),
            ("slo:current_burn_rate:ratio",
             f"slo:sli_error:ratio_rate5m{{{where}}} / on(sloth_id, sloth_slo, sloth_service) group_left {budget}"),
            ("slo:period_burn_rate:ratio",
             f"slo:sli_error:ratio_rate30d{{{where}}} / on(sloth_id, sloth_slo, sloth_service) group_left {budget}"),
            ("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{{{where}}}"),
            ("sloth_slo_info", "vector(1)"),
        ]  # fmt: skip
        groups.append(
            {
                "name": f"sloth-slo-meta-recordings-{collector}",
                "rules": [{"record": name, "expr": expr, "labels": ids} for name, expr in meta],
            }
        )

        def burning(pairs: list[tuple[str, str, float]], where: str = where) -> str:
            return " or ".join(
                f"(max(slo:sli_error:ratio_rate{short}{{{where}}} > ({burn} * 0.005)) without (sloth_window)"
                f" and max(slo:sli_error:ratio_rate{long}{{{where}}} > ({burn} * 0.005)) without (sloth_window))"
                for short, long, burn in pairs
            )

        groups.append({
            "name": f"sloth-slo-alerts-{collector}",
            "rules": [
                {"alert": "CollectorAvailability", "labels": {"sloth_severity": "page"},
                 "expr": burning([("5m", "1h", 14.4), ("30m", "6h", 6)])},
                {"alert": "CollectorAvailability", "labels": {"sloth_severity": "ticket"},
                 "expr": burning([("2h", "1d", 3), ("6h", "3d", 1)])},
            ],
        })  # fmt: skip
    return {"groups": groups}
