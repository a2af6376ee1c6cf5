"""Answer from documents: a search and a rerank as tools, what was found as a retrieval, then the model.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/rag.py

Two exchanges, recorded in two ways: by calls where the work is done, and by decorators on the functions that do it.
A script stands for the search and for the model, so no account is needed and the words are always the same.
"""

import asyncio
import os

from lumina_async import Lumina, RetrievalResult, Session, current_turn, llm, retrieval, tool

DOCUMENTS = {
    "returns": "Send it back within 30 days. The label is in the parcel.",
    "delivery": "We deliver within two days. A parcel to the islands takes a week.",
    "grind": "For a French press grind coarse, like sea salt.",
}


async def search(query: str) -> list[RetrievalResult]:
    """Stand for a vector database: the more words a document shares with the query, the better."""
    words = set(query.lower().strip("?").split())
    found = [
        RetrievalResult(name, len(words & set(text.lower().strip(".").split())) / len(words), text)
        for name, text in DOCUMENTS.items()
    ]
    return [result for result in found if result.score]


def rerank(found: list[RetrievalResult]) -> list[RetrievalResult]:
    """Put the best first."""
    return sorted(found, key=lambda result: -(result.score or 0))


async def assistant(context: str, question: str) -> str:
    """Stand for a model: repeat the first passage of the context."""
    await asyncio.sleep(0.05)
    return context.partition("\n")[0] or f"I know nothing about: {question}"


async def answer(session: Session, question: str) -> str:
    """Record by calls."""
    async with session.turn() as turn:
        found = await turn.record_tool(
            "semantic_search", lambda: search(question), type="retrieval", target="shop-docs", version="v1", top_k=5
        )
        best = await turn.record_tool("rerank", lambda: rerank(found))
        await turn.add_retrieval(source="shop-docs", query=question, results=best)
        context = "\n".join(result.content or "" for result in best)
        reply = await turn.wrap_llm(
            lambda: assistant(context, question), model="scripted-1", prompt_id="rag_v1", temperature=0.7
        )
        await turn.set_messages([{"role": "user", "content": question}, {"role": "assistant", "content": reply}])
        await turn.annotate(context_length=len(context), documents_retrieved=len(best))
    return reply


# The same by decorators: they record in whatever turn is current, and outside a turn the functions simply run.
look_up = retrieval("shop-docs")(tool("semantic_search", type="retrieval", target="shop-docs", version="v1")(search))
say = llm(model="scripted-1", prompt_id="rag_v1")(assistant)


@tool
async def find(question: str) -> str:
    """Make a context. As `@tool` it appears under its own name, around the search that it calls."""
    context = "\n".join(result.content or "" for result in rerank(await look_up(question)))
    # Where the turn is not at hand, it is found; outside a turn this is None.
    if (turn := current_turn()) is not None:
        await turn.annotate(context_length=len(context))
    return context


async def answer_decorated(session: Session, question: str) -> str:
    """Record by decorators: this function holds nothing but the turn and the transcript."""
    async with session.turn() as turn:
        reply = await say(await find(question), question)
        await turn.set_messages([{"role": "user", "content": question}, {"role": "assistant", "content": reply}])
    return reply


async def main() -> None:
    """Ask two questions."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    print(await answer(session, "How long takes a parcel?"))
    print(await answer_decorated(session, "How do I grind for a French press?"))
    print("stored:", await Lumina.flush())


asyncio.run(main())
