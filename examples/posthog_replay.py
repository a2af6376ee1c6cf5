"""PostHog: each turn with the replay of the screen, and PostHog's events with their turn.

    pip install 'lumina-async[collector]'
    lumina dev                                          # in a terminal of its own: it shows what is recorded
    export POSTHOG_KEY=phc_...                           # the key of your project, and POSTHOG_HOST in the EU
    export POSTHOG_PROJECT=12345                         # the number in the address of PostHog's pages
    python examples/posthog_replay.py                    # then open http://127.0.0.1:8000

The page runs posthog-js, which records the screen and says, in a cookie of this site, which session that is. The
middleware reads it; the provider stores it with the turn, with a link to the second at which the turn began. In PostHog
the turn is in LLM analytics, linked to the same replay. A script stands for the model.
"""

import os

from aiohttp import web

from lumina_async import Lumina
from lumina_async.frameworks.aiohttp import lumina_cleanup_ctx, setup_lumina
from lumina_async.providers.posthog import posthog_provider

KEY, HOST = os.getenv("POSTHOG_KEY", "phc_none"), os.getenv("POSTHOG_HOST", "https://us.i.posthog.com")

PAGE = f"""<!doctype html><title>Chat</title>
<form onsubmit="ask(event)"><input name="text" autofocus> <button>Ask</button></form><pre></pre>
<script type="module">
  import posthog from "https://esm.sh/posthog-js"
  posthog.init("{KEY}", {{api_host: "{HOST}", defaults: "2025-05-24"}})
</script>
<script>
  async function ask(event) {{
    event.preventDefault()
    const answer = await fetch("/chat", {{method: "POST", body: new FormData(event.target)}})
    document.querySelector("pre").textContent += await answer.text() + "\\n"
  }}
</script>
"""


async def page(request: web.Request) -> web.Response:
    """Show the chat."""
    return web.Response(text=PAGE, content_type="text/html")


async def chat(request: web.Request) -> web.Response:
    """Answer; nothing here knows of PostHog."""
    text = str((await request.post()).get("text", ""))

    async def model() -> str:
        return f"You said: {text}"

    session = await Lumina.session.start()
    async with session.turn() as turn:
        reply = await turn.wrap_llm(model, model="scripted-1")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return web.Response(text=reply)


def main() -> None:
    """Serve until Ctrl-C; what still waits is sent then, to Lumina and to PostHog."""
    provider = posthog_provider(api_key=KEY, host=HOST, project_id=os.getenv("POSTHOG_PROJECT"))
    endpoint, write_key = os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"), os.getenv("LUMINA_WRITE_KEY", "gi_dev")
    app = web.Application()
    setup_lumina(app)
    app.cleanup_ctx.append(lumina_cleanup_ctx(endpoint=endpoint, write_key=write_key, ui_analytics=provider))
    app.add_routes([web.get("/", page), web.post("/chat", chat)])
    web.run_app(app, host="127.0.0.1", port=int(os.getenv("PORT", "8000")))


if __name__ == "__main__":
    main()
