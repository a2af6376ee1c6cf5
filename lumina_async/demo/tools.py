"""What the assistant uses on the way to an answer, each recorded with its turn."""

import re

from lumina_async import Turn
from lumina_async.demo.lookups import SOURCE, find_order, find_payments, search

_ORDER = re.compile(r"order (1\d{3})\b")


def _as_it_is(result: object) -> object:
    return result


async def look_up(turn: Turn, text: str) -> str | None:
    """Return what is known about a question, or None.

    Raises:
        PaymentsError: The payment service did not answer.
    """
    if found := _ORDER.search(text):
        number = int(found[1])
        order = await turn.record_tool(
            "find_order",
            lambda: find_order(number),
            type="database",
            target="orders",
            version="2",
            input={"number": number},
            output=_as_it_is,
            shard="eu-1",
        )
        return (
            f"Order {number} is {order['state']}, and with you {order['due']}."
            if order
            else f"I know no order {number}."
        )
    if "charged" in text:
        await turn.record_tool(
            "find_payments", find_payments, type="http", target="payments.example", input={"days": 3}
        )
    passages = search(text) if "?" in text else []
    if passages:
        await turn.add_retrieval(source=SOURCE, query=text, results=passages)
    return passages[0].content if passages else None
