"""For FastAPI: a lifespan that starts and ends the client, and the session of a request as a dependency.

app = FastAPI(lifespan=lumina_lifespan(endpoint=..., write_key=...))
app.add_middleware(LuminaMiddleware)

@app.post("/chat")
async def chat(text: str, session: Session = Depends(lumina_session)) -> str:
    async with session.turn() as turn:
        return await turn.wrap_llm(lambda: assistant(text), model="gpt-4o")
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

try:
    from fastapi import FastAPI
    from fastapi.requests import HTTPConnection
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}: pip install 'lumina-async[fastapi]'", name=error.name) from None

from lumina_async import Lumina, LuminaClient, LuminaConfig, Session
from lumina_async.frameworks.asgi import CLIENT, LuminaMiddleware

__all__ = ["LuminaMiddleware", "lumina_lifespan", "lumina_session"]

# Starlette has two kinds, with a state and without; which this is depends on the app's own.
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def lumina_lifespan(
    config: LuminaConfig | None = None,
    /,
    *,
    client: LuminaClient = Lumina,
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    timeout: float = 5.0,
    **options: Any,
) -> Lifespan:
    """Return a lifespan that awaits `client.init` when the server starts and `client.shutdown` when it ends.

    Args:
        config: The options, or
        options: the options as keywords, as for `Lumina.init`. What is not given comes from the environment.
        client: The client to start; `Lumina` by default.
        lifespan: Your own, which runs within.
        timeout: Seconds for the last events to be sent.
    """

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncGenerator[Mapping[str, Any] | None, None]:
        await client.init(config, **options)
        try:
            if lifespan is None:
                yield None
            else:
                async with lifespan(app) as state:
                    yield state
        finally:
            await client.shutdown(timeout)

    return live


async def lumina_session(connection: HTTPConnection) -> Session:
    """Return the session of this request or WebSocket, of the client that its middleware has."""
    client: LuminaClient = connection.scope.get(CLIENT, Lumina)
    return await client.session.start()
