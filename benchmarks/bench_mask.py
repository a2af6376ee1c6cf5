"""What does `mask_pii` cost per call, beside one search for a digit in the same text?

Run with `python benchmarks/bench_mask.py`. Prints ns per call, the best of several repeats, 1,500 characters a text.
"""

import re
import timeit

from lumina_async._pii import mask_pii, scrub_secrets

SIZE = 1500
CALLS = 2000
REPEATS = 9

PLAIN = (
    "The old lighthouse keeper walked down to the harbour every morning, well before the boats came back. He knew the "
    "names of all the crews, and most of their children; they, in turn, brought him bread, news: and now and then a "
    "letter. Nobody could say how long he had lived there, but everyone agreed that the light had never failed. "
)
FEW = (
    "The meeting is on 2024-05-01 at 10:30. We expect about 35 people, up 12% from the year before, and each of them "
    "pays $20; whoever brings a friend pays nothing at all. Please read the plan first and tell us what you think, for "
    "the keeper of the lighthouse has promised to answer every question that reaches him before the evening. "
)
NUMBERS = (
    "In 2024 we shipped 35 releases, up 12% from the year before, and closed 1,204 issues. The meeting is on "
    "2024-05-01 at 10:30 in room 7; the budget is $1,200.50 for 3 people, and order 4711 is still open after all "
    "these weeks. Please read version 2.11.0 of the plan first and send what you think of chapters 4 to 6. "
)
CHINESE = (
    "我们在二〇二四年发布了许多版本，会议在五月一日上午举行，请先阅读计划，然后把你的想法告诉我们。谢谢大家的支持。"  # noqa: RUF001
)
DENSE = (
    "Write to ada@example.com or call (555) 123-4567, or +49 30 123456; card 4111 1111 1111 1111, account "
    "GB29 NWBK 6016 1331 9268 19, from 192.0.2.44 and 2001:db8::17 with Bearer abcd1234efgh5678ijkl and "
    f"sk-{'a' * 32}. Order 12345678901 of 2024-05-01 stays. "
)
SAMPLES = {
    "plain prose": PLAIN,
    "a few numbers": FEW,
    "many numbers": NUMBERS,
    "Chinese": CHINESE,
    "dense": DENSE,
}


def nanoseconds(call: str, names: dict[str, object]) -> float:
    """Return the best time of one call."""
    return min(timeit.repeat(call, globals=names, number=CALLS, repeat=REPEATS)) / CALLS * 1e9


def main() -> None:
    """Print a line per text: the mask, the secrets alone, and the floor."""
    print(f"{'ns per call':<20}{'mask_pii':>12}{'scrub_secrets':>16}{'one digit search':>20}")
    for name, sample in SAMPLES.items():
        text = (sample * SIZE)[:SIZE]
        names: dict[str, object] = {
            "text": text,
            "mask": mask_pii,
            "scrub": scrub_secrets,
            "floor": re.compile(r"\d").search,
        }
        figures = [nanoseconds(call, names) for call in ("mask(text)", "scrub(text)", "floor(text)")]
        print(f"{name:<20}{figures[0]:>12,.0f}{figures[1]:>16,.0f}{figures[2]:>20,.0f}")


if __name__ == "__main__":
    main()
