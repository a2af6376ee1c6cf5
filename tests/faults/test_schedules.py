"""Random lives of a client and its server: whatever happens, every event has one ending."""

import pytest

from faults.forms import form
from faults.world import World

PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
def test_the_ledger_closes_in_every_random_schedule(part: int) -> None:
    """In 300 seeded fault schedules (5,000 in full) the ledger closes to zero: what is called stored is held (G1)."""
    for seed in range(part, form(300, 5_000), PARTS):
        try:
            world = World(seed)
            world.check_end(world.live())
        except BaseException as error:
            error.add_note(f"seed {seed}: World({seed}).live() repeats it")
            raise
