"""The server form in a real browser: the login, the way back to where one wanted, and several projects (FAULTS C23)."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import web
from collector.kit import send, turn
from collector.served import TOKEN, Served, served
from playwright.async_api import Browser, Page, async_playwright, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
PAYLOADS = Path(__file__).with_name("xss.txt").read_text().splitlines()[::12]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        for key, text in ((running.shop, "Where is my order?"), (running.web, "Is the site down?")):
            async with running.sender(key) as client:
                await send(client, turn(text))
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A visitor who never came before; nothing on the page may fail, but for the requests that are refused."""
    context = await browser.new_context()
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.add_init_script("addEventListener('securitypolicyviolation', (e) => { throw e.violatedDirective })")
    yield page
    await context.close()
    assert problems == []


async def log_in(page: Page, token: str = TOKEN) -> None:
    await page.get_by_label("Page token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def test_a_link_leads_through_the_login_to_its_session(server: Served, page: Page) -> None:
    """Project and session of the address are still there after the login; the token is not."""
    await page.goto(f"{server.collector.url}/?project=web#/sessions/chat_1")
    await log_in(page)
    await expect(page.locator("main .user .bubble")).to_have_text("Is the site down?")
    assert page.url == f"{server.collector.url}/?project=web#/sessions/chat_1"


async def test_a_wrong_token_is_told(server: Served, page: Page) -> None:
    """And the right one still opens the page; a write key does not."""
    await page.goto(f"{server.collector.url}/")
    for wrong in ("guess", server.shop):
        await log_in(page, wrong)
        await expect(page.get_by_role("alert")).to_have_text("That is not the page token.")
    await log_in(page)
    await expect(page.locator("nav .row")).to_have_count(1)


async def test_the_printed_link_logs_in(server: Served, page: Page) -> None:
    """What the command prints opens the page, and the token is gone from the address; a bad one says so."""
    await page.goto(f"{server.collector.url}/?token=of_yesterday")
    await expect(page.get_by_role("alert")).to_have_text("That link does not open this page any more.")
    await page.goto(f"{server.collector.url}/?token={TOKEN}")
    await expect(page.locator("nav .row")).to_have_count(1)
    assert "token" not in page.url
    assert "lumina_page" not in await page.evaluate("document.cookie")


async def test_projects_are_one_choice_apart(server: Served, page: Page) -> None:
    """The page shows one project at a time; what arrives in the other does not show up."""
    await page.goto(f"{server.collector.url}/?token={TOKEN}")
    await expect(page.locator("nav .preview")).to_have_text(["Where is my order?"])
    async with server.sender(server.web) as client:
        await send(client, turn("Still down?", session_id="chat_2"))
    async with server.sender(server.shop) as client:
        await send(client, turn("And now?", session_id="chat_3"))
    await expect(page.locator("nav .preview")).to_have_text(["And now?", "Where is my order?"])
    await page.get_by_label("Project").select_option("web")
    await expect(page.locator("nav .preview")).to_have_text(["Still down?", "Is the site down?"])
    await page.locator("nav .row").nth(1).click()
    await expect(page.locator("main .user .bubble")).to_have_text("Is the site down?")
    assert page.url.endswith("/?project=web#/sessions/chat_1")


async def test_a_logout_leads_back_to_the_login(server: Served, page: Page) -> None:
    """From then on the page is closed."""
    await page.goto(f"{server.collector.url}/?token={TOKEN}")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Page token")).to_be_visible()
    await page.goto(f"{server.collector.url}/")
    await expect(page.get_by_label("Page token")).to_be_visible()


async def test_a_link_on_another_site_opens_the_page_for_whoever_is_in(server: Served, page: Page) -> None:
    """Its request brings no cookie (SameSite=Strict); the login finds that they are in, and goes on (FAULTS C21)."""
    target = f"{server.collector.url}/?project=web#/sessions/chat_1"

    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(text=f'<a href="{target}">A conversation</a>', content_type="text/html")

    app = web.Application()
    app.router.add_get("/", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await page.goto(f"{server.collector.url}/?token={TOKEN}")
    await expect(page.locator("nav .row")).to_have_count(1)
    await page.goto(f"http://localhost:{runner.addresses[0][1]}/")
    await page.get_by_role("link").click()
    await expect(page.locator("main .user .bubble")).to_have_text("Is the site down?")
    assert page.url == target
    await runner.cleanup()


async def test_a_project_without_events_says_how_to_begin(server: Served, page: Page) -> None:
    """With the command that makes its key, and no key that would not work."""
    server.file.create("new")
    server.clock.now += 2
    await page.goto(f"{server.collector.url}/?token={TOKEN}&project=new")
    await expect(page.locator("main pre")).to_contain_text('write_key="gi_..."')
    await expect(page.get_by_text("lumina keys create --project new")).to_be_visible()


async def test_a_project_in_the_address_is_text(server: Served, page: Page) -> None:
    """What anybody may write into a link is never markup, nor a way out (FAULTS C19, G24)."""
    await page.goto(f"{server.collector.url}/?token={TOKEN}")
    await expect(page.locator("nav .row")).to_have_count(1)
    for payload in PAYLOADS:
        await page.goto(f"{server.collector.url}/?{urlencode({'project': payload})}")
        if len(payload) <= 64:
            await expect(page.get_by_label("Project")).to_have_value(payload)
        assert await page.evaluate("window.__xss") is None
