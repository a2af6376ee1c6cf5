"""Spans read back from a real receiver: Phoenix, which `nox -s receivers` installs and names in LUMINA_PHOENIX."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from support import recording

from lumina_async.providers.opentelemetry import opentelemetry_provider

PHOENIX = os.environ.get("LUMINA_PHOENIX")
pytestmark = [
    pytest.mark.skipif(PHOENIX is None, reason="needs Phoenix: nox -s receivers"),
    pytest.mark.timeout(120),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def phoenix(tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    settings = {"WORKING_DIR": str(tmp_path), "HOST": "127.0.0.1", "PORT": str(port), "GRPC_PORT": str(free_port())}
    environment = {f"PHOENIX_{name}": value for name, value in settings.items()}
    environment |= {"PHOENIX_TELEMETRY_ENABLED": "false", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    log = (tmp_path / "phoenix.log").open("w")
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([str(PHOENIX), "serve"], env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        await eventually(lambda: answer_of(f"{url}/v1/projects"))
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


async def answer_of(url: str) -> list[dict[str, Any]]:
    async with ClientSession() as client, client.get(url) as answer:
        return list((await answer.json())["data"]) if answer.status == 200 else []


async def eventually(question: Any, count: int = 1) -> list[dict[str, Any]]:
    """Ask another program until it has so many things to tell."""
    while True:
        with suppress(ClientError):
            if len(told := await question()) >= count:
                return list(told)
        await asyncio.sleep(0.2)


async def converse(endpoint: str) -> None:
    """Two turns of one session, each with a look-up, a tool and a call of a model."""
    http = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    tracing = TracerProvider(resource=Resource({"openinference.project.name": "lumina"}), shutdown_on_exit=False)
    tracing.add_span_processor(BatchSpanProcessor(http.OTLPSpanExporter(endpoint)))
    async with recording(system_analytics=opentelemetry_provider(tracing)) as (lumina, _):
        session = await lumina.session.start(session_id="chat_42", user_id="ada")
        for question in ("Capital of France?", "And of Italy?"):
            usage = {"prompt_tokens": 12, "completion_tokens": 3}
            response = {"id": "r1", "object": "chat.completion", "model": "gpt-4o-2024-08-06", "usage": usage}
            response["choices"] = [{"finish_reason": "stop", "message": {"role": "assistant", "content": "A city."}}]
            async with session.turn() as turn:
                await turn.add_retrieval(source="docs", query=question, results=[{"id": "d1", "score": 0.5}])
                await turn.record_tool("look_up", lambda: [1], input={"city": 1})
                await turn.wrap_llm(lambda answer=response: answer, model="gpt-4o", provider="openai", input=question)
                said = [("user", question), ("assistant", f"You ask: {question}")]
                await turn.set_messages([{"role": role, "content": text} for role, text in said])
    await asyncio.to_thread(tracing.shutdown)


async def test_phoenix_shows_sessions_turns_models_tokens_and_kinds(phoenix: str) -> None:
    """As it reads the GenAI conventions: nothing is sent for Phoenix alone."""
    await converse(f"{phoenix}/v1/traces")
    spans = await eventually(lambda: answer_of(f"{phoenix}/v1/projects/lumina/spans?limit=100"), 8)
    kinds = {span["name"]: span["span_kind"] for span in spans}
    assert kinds == {
        "invoke_agent": "AGENT",
        "chat gpt-4o": "LLM",
        "execute_tool look_up": "TOOL",
        "retrieval docs": "RETRIEVER",
    }
    turns = [span for span in reversed(spans) if span["name"] == "invoke_agent"]
    assert [turn["attributes"]["input.value"] for turn in turns] == ["Capital of France?", "And of Italy?"]
    assert [turn["parent_id"] for turn in turns] == [None, None]
    roots = {turn["context"]["span_id"] for turn in turns}
    assert {span["parent_id"] for span in spans if span not in turns} == roots
    call = next(span["attributes"] for span in spans if span["span_kind"] == "LLM")
    tokens = [call[f"llm.token_count.{part}"] for part in ("prompt", "completion", "total")]
    assert (call["llm.model_name"], call["llm.provider"], tokens) == ("gpt-4o", "openai", [12, 3, 15])
    [session] = await eventually(lambda: answer_of(f"{phoenix}/v1/projects/lumina/sessions"))
    assert (session["session_id"], len(session["traces"]), session["token_count_total"]) == ("chat_42", 2, 30)
