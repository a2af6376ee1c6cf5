"""Which project a request of the read side is about: one at a time."""

import attrs
from aiohttp import web

from lumina_async.collector.access import Access
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.keyring import DEFAULT_PROJECT
from lumina_async.collector.parameters import parameter
from lumina_async.collector.store import Store

_MAX_NAME = 64


@attrs.frozen(eq=False)
class Projects:
    """The projects that have events or a key."""

    store: Store
    access: Access

    async def all(self) -> list[str]:
        """Return their names in order."""
        return sorted({*await self.store.projects(), *self.access.writers.projects})

    async def of(self, request: web.Request) -> str:
        """Return the project that `?project=` names; without it the only one, or `default`.

        Raises:
            ProblemError: 400 where there are several and none is `default`.
        """
        if name := parameter(request, "project", _MAX_NAME):
            return name
        names = await self.all()
        if DEFAULT_PROJECT in names or not names:
            return DEFAULT_PROJECT
        if len(names) > 1:
            message = "There are several projects: choose one with ?project=, /api/projects lists them."
            raise ProblemError(400, "which_project", message)
        return names[0]
