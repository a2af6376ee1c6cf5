"""Smaller bodies: gzip by default, zstd where its module is."""

import importlib
import sys

import pytest
from support import config, recording

from lumina_async import ConfigError
from lumina_async.collector.decode import Limits, unpack
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.unpack import ENCODINGS

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
LIMITS = Limits(unpacked_bytes=1_000_000)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_bodies_are_compressed_as_configured(name: str) -> None:
    """The header says how, and the lines come out again."""
    async with recording(compression=name) as (client, transport):
        session = await client.session.start()
        async with session.turn() as t:
            await t.annotate(text="x" * 30_000)
        assert await client.flush()
    assert {payload.encoding for payload in transport.payloads} == {name}
    assert len(transport.turns) == 1
    assert sum(len(payload.body) for payload in transport.payloads) < 3_000


def test_zstd_without_its_module_is_a_mistake_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message holds the line that installs it."""
    for module in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r'pip install "lumina-async\[zstd\]"'):
        config(compression="zstd")


def test_the_collector_unpacks_zstd() -> None:
    """It is among the encodings that a 415 lists."""
    assert "zstd" in ENCODINGS
    assert unpack(zstd.compress(b"x" * 900_000), "zstd", LIMITS) == b"x" * 900_000


@pytest.mark.parametrize("level", [3, 19])
def test_a_zstd_bomb_is_413(level: int) -> None:
    """Beyond the limit nothing more is unpacked (FAULTS C4)."""
    with pytest.raises(ProblemError) as caught:
        unpack(zstd.compress(b"x" * 50_000_000, level), "zstd", LIMITS)
    assert caught.value.status == 413


def test_every_cut_or_corrupt_zstd_stream_is_408() -> None:
    """Damage on the way is never taken for a whole body: the sender sends it again (FAULTS C4)."""
    options = {zstd.CompressionParameter.checksum_flag: 1}
    whole = zstd.compress(b'{"event_id":"1"}\n' * 50, options=options)
    damaged = [whole[:end] for end in range(len(whole))] + [whole + b"x", whole + whole]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for body in damaged:
        with pytest.raises(ProblemError) as caught:
            unpack(body, "zstd", LIMITS)
        assert caught.value.status == 408, body
