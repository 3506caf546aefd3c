"""The parsers hold against any bytes; a longer run is `make fuzz`."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_what_servers_send(name: str) -> None:
    for seed in SEEDS[name]:
        for first in range(256):
            TARGETS[name](bytes([first]) + seed[1:])


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_any_bytes(name: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=200))
    @example(b"")
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_what_is_nearly_right(name: str) -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.randoms(use_true_random=False), st.sampled_from(SEEDS[name]))
    def check(chance: random.Random, seed: bytes) -> None:
        data = bytearray(seed)
        for _ in range(chance.randrange(1, 6)):
            at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
            match chance.randrange(4):
                case 0:
                    data[at:end] = b""
                case 1:
                    data[at:at] = data[at:end]
                case 2:
                    data[at:at] = bytes(chance.choices(b'\r\n:{}[]"0; \xff\xc3', k=3))
                case _ if data:
                    data[at % len(data)] ^= 1 << chance.randrange(8)
        TARGETS[name](bytes(data))

    check()
