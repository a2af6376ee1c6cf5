"""A chat server with FastAPI and the OpenAI client, each exchange recorded as a turn.

    pip install fastapi uvicorn openai 'lumina-async[collector]'
    lumina dev                                          # in a terminal of its own: it shows what is recorded
    export OPENAI_API_KEY=...                           # and OPENAI_BASE_URL for any other server with this API
    uvicorn --app-dir examples fastapi_app:app

    curl -N http://127.0.0.1:8000/chat/stream --json '{"user": "ada", "conversation": "first", "text": "Hello!"}'

Leave while it streams (Ctrl-C in curl), and the turn is stored as cancelled, with what was said until then.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from lumina_async import Lumina, Message, Session

MODEL = os.getenv("OPENAI_MODEL", "gpt-4o-mini")
PROMPT_ID = "assistant/1"
APOLOGY = "Sorry, I cannot answer just now."

# The key and the address come from OPENAI_API_KEY and OPENAI_BASE_URL.
openai = AsyncOpenAI()


class Ask(BaseModel):
    """What the browser posts."""

    user: str
    conversation: str
    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Start Lumina with the server and end it with the server."""
    endpoint = os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600")
    await Lumina.init(endpoint=endpoint, write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"))
    async with openai:
        yield
    # Sends what still waits. Without it, the last seconds before a deployment are lost.
    await Lumina.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(ask: Ask) -> dict[str, str]:
    """Answer in one piece."""
    # A scope for each request: nobody else's user or session is seen in it.
    async with Lumina.scope(user_id=ask.user, session_id=ask.conversation):
        session = await Lumina.session.start()
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
async def chat_stream(ask: Ask) -> StreamingResponse:
    """Answer word by word."""
    async with Lumina.scope(user_id=ask.user, session_id=ask.conversation):
        session = await Lumina.session.start()
    # The scope ends here, before the first word is sent; the session knows whom it is with.
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
