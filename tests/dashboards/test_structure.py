"""What a person can rely on when any of the dashboards opens."""

import re
from itertools import combinations

import pytest

from tests.dashboards.support import Json, committed, evaluate, panels

UIDS = {
    "collection-health-" + name
    for name in (
        "fleet",
        "collector",
        "slo",
        "trends",
        "patterns",
        "predictions",
        "recovery",
        "scorecard",
        "self",
    )
}
NAMES = sorted(uid + ".json" for uid in UIDS)
EMPTY = ("", "No data")


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest) -> Json:
    """Each of the dashboards in turn."""
    return evaluate()[request.param]


def test_all_dashboards_exist_with_stable_uids() -> None:
    """Bookmarks and alert links survive: exactly the nine agreed uids, each used once."""
    dashboards = evaluate()
    assert sorted(dashboards) == NAMES
    assert {dashboard["uid"] for dashboard in dashboards.values()} == UIDS
    assert len({dashboard["title"] for dashboard in dashboards.values()}) == len(UIDS)


def test_committed_files_are_what_the_sources_say() -> None:
    """Somebody who imports the committed JSON gets what the jsonnet describes."""
    assert committed() == evaluate()


def test_every_panel_explains_itself(dashboard: Json) -> None:
    """Each panel has a title, a description, a unit, a legend and says what to do when empty."""
    for panel in panels(dashboard):
        where = f"{dashboard['title']} / {panel['title']}"
        assert panel["title"], where
        assert len(panel["description"]) > 20, f"{where}: description"
        if panel["type"] == "text":
            assert panel["options"]["content"], where
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], f"{where}: unit"
        assert defaults["noValue"] not in EMPTY, f"{where}: what to do when it is empty"
        assert panel["targets"], f"{where}: queries"
        for target in panel["targets"]:
            assert target["legendFormat"], f"{where} / {target['refId']}: legend"
        if "legend" in panel["options"] and panel["type"] != "bargauge":
            assert panel["options"]["legend"]["showLegend"], f"{where}: legend"


def test_panels_do_not_overlap(dashboard: Json) -> None:
    """Panels stand inside the grid of 24 columns and never on top of each other."""
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(boxes)
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for a, b in combinations(boxes, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (a, b)


def test_shared_controls(dashboard: Json) -> None:
    """Every dashboard picks its data source, marks alerts and pauses, and links to the others."""
    assert dashboard["templating"]["list"][0]["name"] == "datasource"
    marks = {annotation["name"] for annotation in dashboard["annotations"]["list"]}
    assert {"Alerts", "Maintenance, pause, acknowledgement"} <= marks
    menu = dashboard["links"][0]
    assert menu["keepTime"]
    assert menu["includeVars"]
    assert set(menu["tags"]) <= set(dashboard["tags"])
    for panel in panels(dashboard):
        if panel["type"] != "text":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []


def test_links_resolve(dashboard: Json) -> None:
    """Links name dashboards that exist, keep the time range, and set variables these have."""
    targets = {
        board["uid"]: {variable["name"] for variable in board["templating"]["list"]}
        for board in evaluate().values()
    }
    links = [text for text in _strings(dashboard) if text.startswith("/d/")]
    for link in links:
        uid = link.split("/")[2]
        assert uid in targets, link
        assert "${__url_time_range}" in link, link
        assert "${datasource:queryparam}" in link, link
        assert set(re.findall(r"var-(\w+)=", link)) <= targets[uid], link


def test_tables_lead_to_the_collector() -> None:
    """From any table with a collector in its rows one click opens that collector."""
    found = 0
    for dashboard in evaluate().values():
        for panel in panels(dashboard):
            if panel["type"] != "table":
                continue
            renamed = panel["transformations"][1]["options"]["renameByName"]
            if "collector" not in renamed:
                continue
            found += 1
            links = [text for text in _strings(panel) if text.startswith("/d/")]
            assert any("collection-health-collector" in link for link in links), panel["title"]
    assert found >= 5


def test_tables_name_every_column() -> None:
    """A column that no query fills, or a query without a column, is a mistake in a table."""
    for dashboard in evaluate().values():
        for panel in panels(dashboard):
            if panel["type"] != "table":
                continue
            renamed = panel["transformations"][1]["options"]["renameByName"]
            for target in panel["targets"]:
                assert renamed[f"Value #{target['refId']}"] == target["legendFormat"]
            titles = [title for field, title in renamed.items() if field != "Value"]
            assert len(titles) == len(set(titles)), panel["title"]
            for override in panel["fieldConfig"]["overrides"]:
                if override["matcher"]["id"] == "byName":
                    assert override["matcher"]["options"] in titles, panel["title"]


def test_cluster_label_reaches_every_query() -> None:
    """With a cluster label every dashboard picks clusters, and no join mixes them."""
    for dashboard in evaluate("{clusterLabel: 'site'}").values():
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        assert names[1] == "site"
        for text in _strings(dashboard["panels"]):
            if "by (collector" in text or "on (collector" in text:
                raise AssertionError(f"{dashboard['title']}: {text}")


def test_evaluation_is_deterministic() -> None:
    """The same sources give the same bytes, or the drift check would cry wolf."""
    first = evaluate("{}")
    evaluate.cache_clear()
    assert evaluate("{}") == first
