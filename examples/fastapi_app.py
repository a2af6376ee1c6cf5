"""A chat server with FastAPI and the OpenAI client, each exchange recorded as a turn.

    pip install uvicorn openai 'lumina-async[collector,fastapi]'
    lumina dev                                          # in a terminal of its own: it shows what is recorded
    export OPENAI_API_KEY=...                           # and OPENAI_BASE_URL for any other server with this API
    uvicorn --app-dir examples fastapi_app:app

    curl -N -b jar -c jar http://127.0.0.1:8000/chat/stream --json '{"text": "Hello!"}'

Leave while it streams (Ctrl-C in curl), and the turn is stored as cancelled, with what was said until then. The jar
keeps the cookies of a visitor: with it the next message goes on with the same conversation.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from lumina_async import Message, Session
from lumina_async.frameworks.fastapi import LuminaMiddleware, lumina_lifespan, lumina_session
from lumina_async.llms.openai import instrument

MODEL = os.getenv("OPENAI_MODEL", "gpt-4o-mini")
PROMPT_ID = "assistant/1"
APOLOGY = "Sorry, I cannot answer just now."

# The key and the address come from OPENAI_API_KEY and OPENAI_BASE_URL. Instrumented, it also asks what a stream used.
openai = instrument(AsyncOpenAI())


class Ask(BaseModel):
    """What the browser posts."""

    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Hold what the app itself needs; it runs within that of Lumina, which sends the last events behind it."""
    async with openai:
        yield


app = FastAPI(
    lifespan=lumina_lifespan(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        lifespan=lifespan,
    )
)
# Gives each request the scope of its visitor, by cookies. Whom the app knows it names with `Lumina.identify`.
app.add_middleware(LuminaMiddleware)


@app.post("/chat")
async def chat(ask: Ask, session: Session = Depends(lumina_session)) -> dict[str, str]:
    """Answer in one piece."""
    async with session.turn() as turn:
        # The question first, so that a turn that fails shows what was asked.
        await turn.set_messages([Message("user", ask.text)])
        completion = await turn.wrap_llm(
            lambda: openai.chat.completions.create(model=MODEL, messages=_prompt(ask.text)),
            model=MODEL,
            prompt_id=PROMPT_ID,
        )
        reply = completion.choices[0].message.content or ""
        await turn.set_messages([Message("user", ask.text), Message("assistant", reply)])
    return {"reply": reply}


@app.post("/chat/stream")
async def chat_stream(ask: Ask, session: Session = Depends(lumina_session)) -> StreamingResponse:
    """Answer word by word. The session is asked for before the answer begins, when a cookie can still be set."""
    return StreamingResponse(_words(session, ask.text), media_type="text/plain")


async def _words(session: Session, text: str) -> AsyncGenerator[str, None]:
    said: list[str] = []
    try:
        # The turn belongs here, into the generator: around `return StreamingResponse(...)` it would end before the
        # first word.
        async with session.turn() as turn:
            await turn.set_messages([Message("user", text)])
            stream = await turn.wrap_llm(
                lambda: openai.chat.completions.create(model=MODEL, messages=_prompt(text), stream=True),
                model=MODEL,
                prompt_id=PROMPT_ID,
            )
            try:
                async with stream:
                    async for chunk in stream:
                        if chunk.choices and (word := chunk.choices[0].delta.content):
                            said.append(word)
                            yield word
            finally:
                # When the client leaves, Starlette cancels this task, and from then on whatever really waits is
                # cancelled again. `set_messages` does not wait (but for an async `mask_fn`), so what was said is kept.
                await turn.set_messages([Message("user", text), Message("assistant", "".join(said))])
    except OpenAIError:
        # It has left the turn, which is stored as an error. The headers are long sent: only words can tell the person.
        yield f"\n{APOLOGY}"


@app.exception_handler(OpenAIError)
async def provider_failed(request: Request, error: OpenAIError) -> JSONResponse:
    """Apologise where nothing was sent yet; here too the exception has left its turn before."""
    return JSONResponse({"reply": APOLOGY}, status_code=503)


def _prompt(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": text}]
