"""Checked by mypy and pyright, never run: FastAPI takes the lifespan and the dependency as they are."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from lumina_async import Session
from lumina_async.frameworks.fastapi import LuminaMiddleware, lumina_lifespan, lumina_session


@asynccontextmanager
async def own(app: FastAPI) -> AsyncGenerator[dict[str, int]]:
    yield {"answer": 42}


app = FastAPI(lifespan=lumina_lifespan())
with_state = FastAPI(lifespan=lumina_lifespan(endpoint="http://127.0.0.1:4600", write_key="gi_x", lifespan=own))
app.add_middleware(LuminaMiddleware, cookie_secret="a secret")


@app.post("/chat")
async def chat(text: str, session: Session = Depends(lumina_session)) -> str:
    async with session.turn() as turn:
        return await turn.wrap_llm(lambda: text, model="m")
