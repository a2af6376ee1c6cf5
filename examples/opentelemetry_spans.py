"""Turns as spans of OpenTelemetry, beside those of the app.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    pip install 'lumina-async[otel]' opentelemetry-sdk
    python examples/opentelemetry_spans.py

Spans are printed as they are exported; in an app, an `OTLPSpanExporter` sends them to Phoenix, Jaeger, Grafana or any
other receiver. What the app traces inside a turn, like `db.query`, is a child of it. A script stands for the model.
"""

import asyncio
import os

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from lumina_async import Lumina
from lumina_async.providers.opentelemetry import opentelemetry_provider


def line(span: ReadableSpan) -> str:
    """Return what is printed of a span."""
    parent = "" if span.parent is None else f" in {span.parent.span_id:016x}"
    return f"{span.context.span_id:016x}{parent}: {span.name} {(span.attributes or {}).get('session.id', '')}\n"


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.05)
    return f"You said: {text}"


async def main() -> None:
    """Record a turn, which is a span with a call of a model and a query of the app's in it."""
    tracing = TracerProvider()
    tracing.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=line)))
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        system_analytics=opentelemetry_provider(tracing),
    )
    session = await Lumina.session.start(session_id="traced", user_id="ada")
    async with session.turn() as turn:
        with tracing.get_tracer("app").start_as_current_span("db.query"):
            await asyncio.sleep(0.01)
        reply = await turn.wrap_llm(assistant("Hello?"), model="scripted-1", provider="script")
        await turn.set_messages([{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": reply}])
    print("stored:", await Lumina.flush())
    # First ours, whose hooks end the spans, then OpenTelemetry, which sends them.
    await Lumina.shutdown()
    tracing.shutdown()


asyncio.run(main())
