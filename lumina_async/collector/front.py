"""The page, and the way in to it."""

import attrs
from aiohttp import web

from lumina_async.collector.assets import Assets
from lumina_async.collector.page_access import PageAccess


@attrs.frozen(eq=False)
class Front:
    """Answers what a person opens in a browser.

    Args:
        assets: The files.
        access: Who may look; None lets everybody in.
    """

    assets: Assets
    access: PageAccess | None

    async def page(self, request: web.Request) -> web.Response:
        """Answer `GET /`; a `?token=` is exchanged for a cookie, and does not stay in the address."""
        if self.access is None:
            return self.assets.named(request, "index.html")
        if token := request.query.get("token"):
            return self.access.enter(request, token)
        if not self.access.is_in(request):
            return self.access.to_login(request)
        return self.assets.named(request, "index.html")

    async def login_page(self, request: web.Request) -> web.Response:
        """Answer `GET /login`; whoever is in already is sent on by its script.

        Not here: a link on another site brings no cookie, also of somebody who is in. The request of the script does.
        """
        if self.access is None:
            return web.Response(status=303, headers={"Location": "/"})
        return self.assets.named(request, "login.html")

    async def file(self, request: web.Request) -> web.Response:
        """Answer `GET /static/{name}`."""
        return self.assets.named(request, request.match_info["name"])

    async def login(self, request: web.Request) -> web.Response:
        """Answer `POST /login`."""
        return await self._access().login(request)

    async def logout(self, request: web.Request) -> web.Response:
        """Answer `POST /logout`."""
        return await self._access().logout(request)

    def _access(self) -> PageAccess:
        if self.access is None:
            raise web.HTTPNotFound
        return self.access
