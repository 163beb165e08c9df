"""Links lead somewhere: between documents, to their sections, and from every alert to its runbook.

Links to other sites are not followed: tests talk to this machine only.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.support.documents import documents

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/collection-health/collection-health/blob/main/"
RUNBOOKS = ROOT / "rules" / "runbooks" / "README.md"
DOCUMENTS = [*documents(ROOT), ROOT / "CHANGELOG.md"]
# How alerts are called (the contract of names); a heading of this shape is about an alert.
ALERT = re.compile(r"^(?:Collector|Dependency|Fleet|CollectionHealth)[A-Z]\w*$")

_FENCED = re.compile(r"^(\s*)(`{3,}|~{3,}).*?^\1\2`*~*\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[(?:[^][]|\[[^]]*\])*\]\(\s*<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^\[[^]]+\]:\s*(\S+)", re.MULTILINE)
_HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)", re.IGNORECASE)


def links(text: str) -> list[str]:
    """Targets of all links and pictures of a Markdown text, code left out."""
    prose = _CODE.sub("", _FENCED.sub("", text))
    return _LINK.findall(prose) + _REFERENCE.findall(prose) + _HTML.findall(prose)


def headings(text: str) -> list[str]:
    """Texts of the headings of a Markdown document."""
    return re.findall(r"^#{1,6}\s+(.+?)\s*#*$", _FENCED.sub("", text), re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(document: Path) -> frozenset[str]:
    """Every anchor of a document: its headings, numbered where they repeat, and explicit ones."""
    text = document.read_text()
    found: set[str] = set(re.findall(r"<a\s+(?:id|name)=[\"']([^\"']+)", text))
    for heading in headings(text):
        anchor, number = slug(heading), 0
        while (unique := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(unique)
    return frozenset(found)


def problem(document: Path, target: str) -> str | None:
    """What is wrong with a link of a document, None if it leads somewhere or to another site."""
    if target.startswith(REPOSITORY):
        path, fragment = target.removeprefix(REPOSITORY).split("#", 1) if "#" in target else (
            target.removeprefix(REPOSITORY), "",
        )  # fmt: skip
        file = ROOT / unquote(path)
    else:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            return None
        fragment = parts.fragment
        file = document.parent / unquote(parts.path) if parts.path else document
    if not file.exists():
        return f"{target}: no such file"
    if not file.resolve().is_relative_to(ROOT):
        return f"{target}: outside of the repository"
    if fragment and file.suffix == ".md" and fragment not in anchors(file):
        return f"{target}: no such section"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    """Files that a document links to exist, and so do the sections it names."""
    problems = [problem(document, target) for target in links(document.read_text())]
    assert not list(filter(None, problems))


# --- alerts and runbooks, both ways ---------------------------------------------------------------


def alerts() -> Iterator[tuple[str, dict[str, str]]]:
    """Name and annotations of every generated alert."""
    content = yaml.safe_load((ROOT / "rules" / "generated" / "alerts.yml").read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["annotations"]


def test_every_alert_leads_to_its_runbook() -> None:
    """`runbook_url` names a section that exists, and it is the alert's own."""
    found = list(alerts())
    assert found
    for name, annotations in found:
        url = annotations["runbook_url"]
        assert url == f"{REPOSITORY}rules/runbooks/README.md#{name.lower()}"
        assert problem(RUNBOOKS, url) is None


def test_every_runbook_is_about_an_alert() -> None:
    """No section is left of an alert that was renamed or removed, and each alert has just one."""
    about = [heading for heading in headings(RUNBOOKS.read_text()) if ALERT.match(heading)]
    assert sorted(about) == sorted({name for name, _ in alerts()})


def test_every_alert_leads_to_a_dashboard() -> None:
    """`dashboard_url` opens a dashboard of the pack."""
    generated = (ROOT / "dashboards" / "generated").glob("*.json")
    uids = {json.loads(path.read_text())["uid"] for path in generated}
    for name, annotations in alerts():
        match = re.search(r"/d/([\w-]+)", annotations["dashboard_url"])
        assert match, name
        assert match[1] in uids, name


# --- the machinery itself -------------------------------------------------------------------------


def test_links_are_found_and_judged(tmp_path: Path) -> None:
    """Missing files and sections are problems; other sites and code are not looked at."""
    text = (
        "# A `b` (c), d\n\n## Two\n\n## Two\n\n[1](#two-1) [2](#a-b-c-d) [3](#three) "
        "[4](none.md) [5](https://example.org/x#y) ![6](<none.png>) `[7](code.md)`\n"
        '\n```sh\n[8](fenced.md)\n```\n<img src="picture.png">\n'
    )
    document = ROOT / "tests" / "a.md"  # never written
    (tmp_path / "a.md").write_text(text)
    assert links(text) == [
        "#two-1", "#a-b-c-d", "#three", "none.md", "https://example.org/x#y", "none.png",
        "picture.png",
    ]  # fmt: skip
    assert anchors(tmp_path / "a.md") == {"a-b-c-d", "two", "two-1"}
    assert problem(document, "none.md") == "none.md: no such file"
    assert problem(document, "../README.md#none") == "../README.md#none: no such section"
    assert problem(document, "../README.md#licence") is None
    assert problem(document, "https://example.org/x#y") is None
