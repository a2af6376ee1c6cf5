"""What is known of the ingest server. Pure: a clock reading and a random number come from outside."""

import attrs

PROBE_S = 60.0
MAX_COOL_DOWN_S = 30.0
MAX_ALONE_S = 3_600.0
ROUNDS = 3


@attrs.define
class Endpoint:
    """What is known of the ingest server, shared by all batches of one client.

    Attributes:
        most_bytes: `max_batch_bytes`.
        batch_bytes: No batch is built larger. Halved by each 413, and grown by a sixty-fourth with each full batch
            that is stored, so that a server that takes more again is found out at the price of one refusal in 45.
        hold_until: No request before this, in monotonic seconds.
        paused: It refuses everything; one line is tried each minute.
        rounds: Failed rounds in a row.
        plain: It takes no compressed body.
        accepted: Batches and parts that it stored. A line that failed is only blamed when this has grown since:
            until then it may be the server that is wrong.
    """

    most_bytes: int
    batch_bytes: int = attrs.field(default=attrs.Factory(lambda endpoint: endpoint.most_bytes, takes_self=True))
    hold_until: float = 0.0
    paused: bool = False
    rounds: int = 0
    plain: bool = False
    accepted: int = 0

    @property
    def probing(self) -> bool:
        """Whether to send one line alone, and wait what becomes of it."""
        return self.paused or self.rounds >= ROUNDS

    def works(self, size: int) -> None:
        """It stored this many bytes."""
        self.accepted += 1
        self.rounds = 0
        self.paused = False
        if size > self.batch_bytes // 2:
            self.batch_bytes = min(self.most_bytes, self.batch_bytes + self.batch_bytes // 64 + 1)

    def too_large(self, size: int) -> None:
        """It refused this many bytes as too many."""
        self.batch_bytes = max(1, min(self.batch_bytes, size // 2))

    def cool_down(self, now: float, jitter: float, retry_after_s: float | None = None) -> None:
        """It failed for a whole round. Batches that fail side by side count once.

        Args:
            now: Monotonic seconds.
            jitter: Uniform in 0 to 1, so that many clients do not come back at the same moment.
            retry_after_s: The least wait that it asks for; half a second where it asks for none.
        """
        if now < self.hold_until:
            self.hold_until = max(self.hold_until, now + (retry_after_s or 0.0))
            return
        self.rounds += 1
        longest = min(MAX_COOL_DOWN_S, 2.0 ** min(self.rounds, 10))
        self.hold_until = now + (0.5 if retry_after_s is None else retry_after_s) + jitter * (longest - 0.5)

    def pause(self, now: float) -> None:
        """It refuses for a reason that time does not mend: keep everything, try one line in a minute."""
        self.paused = True
        self.hold_until = max(self.hold_until, now + PROBE_S)


def alone_s(failed: int) -> float:
    """Return how long a line waits that failed alone after so many rounds, while others are stored."""
    return min(MAX_ALONE_S, PROBE_S * 2.0 ** min(max(failed - ROUNDS, 0), 10))
