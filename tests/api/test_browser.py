"""The status page in real Chromium: live, by keyboard, on a phone, without scripts (make
test-browser)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.api.support import ask
from tests.dashboards.browser import Browser
from tests.support.services import Exporter, Stack

pytestmark = pytest.mark.browser

INVENTORY = """
collectors:
  - {name: prod/orders, team: shop, depends_on: [warehouse]}
  - {name: prices, team: shop}
"""
# WCAG 2.1: 4.5 for text. Every element that holds text of its own, against what is behind it.
CONTRAST = """
(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || ![...e.childNodes].some(
      n => n.nodeType === 3 && n.textContent.trim())) continue;
    if (['SCRIPT', 'STYLE', 'OPTION'].includes(e.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${e.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return low;
})()
"""
UNLABELLED = """
[...document.querySelectorAll('input:not([type=hidden]),select,textarea,button,a,summary')]
  .filter(e => !(e.labels && e.labels.length) && !e.textContent.trim())
  .map(e => e.outerHTML)
"""


@pytest.fixture
def exporter(stack: Stack) -> Exporter:
    """One collector fails, one is well."""
    exporter = stack.exporter(INVENTORY)
    runs = [{"collector": "prod/orders", "outcome": "success"}] * 30
    failed = {"collector": "prod/orders", "outcome": "failure", "reason": "auth",
              "error": {"message": "401 denied by " + "a-very-long-host-name." * 8}}  # fmt: skip
    exporter.post([*runs, failed, {"collector": "prices", "outcome": "success"}])
    return exporter


@pytest.fixture
async def phone() -> AsyncIterator[Browser]:
    """Chromium as wide as a phone."""
    async with Browser(390, 800) as browser:
        yield browser


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Look until it is true."""
    for _ in range(100):
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"waited for {what}")


async def show(browser: Browser, url: str) -> list[str]:
    """Open a page; what the browser complained about collects in the answer."""
    complaints: list[str] = []

    def listen(message: dict[str, Any]) -> None:
        if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
            complaints.append(str(message["params"])[:500])

    await browser.call("Log.enable")
    browser._listeners = [listen]
    await browser.call("Page.navigate", url=url)
    await until(lambda: browser.evaluate("document.readyState === 'complete'"), "the page")
    return complaints


@pytest.mark.parametrize(
    "path", ["/", "/collectors/prod%2Forders", "/collectors/prod%2Forders/ack"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_accessible_on_a_phone(
    exporter: Exporter, phone: Browser, path: str, scheme: str
) -> None:
    """Nothing overflows, every control has a name, text has contrast, nothing is complained of."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    await phone.call("Emulation.setEmulatedMedia", features=media)
    complaints = await show(phone, exporter.url + path)
    assert await phone.evaluate("document.documentElement.scrollWidth") <= 390
    await phone.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert await phone.evaluate(UNLABELLED) == []
    assert await phone.evaluate(CONTRAST) == []
    assert await phone.evaluate("document.documentElement.lang") == "en"
    assert await phone.evaluate("document.querySelectorAll('h1').length") == 1
    assert complaints == []


async def test_the_page_stays_current(exporter: Exporter, phone: Browser) -> None:
    """What is reported shows without a reload, and an open form is left alone."""
    await show(phone, exporter.url)
    await until(lambda: phone.evaluate("document.getElementById('live').textContent === 'live'"),
                "the stream")  # fmt: skip
    await phone.evaluate(
        "document.querySelector('article details').open = true;"
        "document.querySelector('article input[name=reason]').value = 'half typed'"
    )
    exporter.post({"collector": "prices", "outcome": "failure", "reason": "schema"})
    await until(
        lambda: phone.evaluate("document.getElementById('c-prices').innerText.includes('schema')"),
        "the failure of prices",
    )
    typed = await phone.evaluate("document.querySelector('article input[name=reason]').value")
    assert typed == "half typed"


@pytest.mark.parametrize("scripts", [True, False])
async def test_buttons_work(exporter: Exporter, phone: Browser, scripts: bool) -> None:
    """Acknowledging from the page is recorded with name and reason, without scripts too."""
    await phone.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    await show(phone, exporter.url)
    await phone.evaluate(
        "(form => { form.actor.value = 'kim'; form.reason.value = 'on it';"
        " form.querySelector('button').click(); })"
        "(document.querySelector('form[action$=\"/ack\"]'))"
    )
    await until(lambda: phone.evaluate("location.pathname.startsWith('/collectors/')"), "its page")
    await until(lambda: phone.evaluate("document.body.innerText.includes('on it')"), "the reason")
    (entry,) = ask(exporter, "/api/v1/audit").body["entries"]
    assert (entry["action"], entry["actor"]) == ("acknowledged", "kim (unverified)")


async def test_the_keyboard_is_enough(exporter: Exporter, phone: Browser) -> None:
    """Tab reaches the skip link, then every tile and control in the order they are read."""
    await show(phone, exporter.url)
    reached = []
    for _ in range(16):
        for kind in ("keyDown", "keyUp"):
            await phone.call(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                windowsVirtualKeyCode=9,
            )  # fmt: skip
        reached.append(
            await phone.evaluate(
                "document.activeElement.textContent.trim() || document.activeElement.id"
            )
        )
    assert reached[:3] == ["Skip to content", "Collection Health", "1✖ failing"]
    assert "prod/orders" in reached
    assert "Controls of prod/orders" in reached
