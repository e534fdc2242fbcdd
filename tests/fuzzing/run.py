"""``python -m tests.fuzzing.run COUNT SEED``: so many invalid inputs to all readers, in a process of its own.

Prints a line for each fault, and last the number of inputs.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from tests.fuzzing.http_answers import read_answers
from tests.fuzzing.mutations import mutated
from tests.fuzzing.readers import Reader, all_readers

SLOW_S = 1.0
"""Of processor time: no mutated input is long."""
HTTP_SHARE = 30
"""One input in so many is an HTTP answer, which takes longer than any other."""
FEED_SHARE = 40


def inputs(readers: list[Reader], count: int, seed: int) -> Iterator[tuple[Reader, bytes]]:
    """Invalid input, for each reader in turn; feeds are parsed slowly and have a smaller share."""
    random = Random(f"input {seed}")
    fast = [reader for reader in readers if reader.is_linear]
    slow = [reader for reader in readers if not reader.is_linear]
    for number in range(count):
        turn = slow if slow and number % FEED_SHARE == 0 else fast
        reader = turn[number % len(turn)]
        yield reader, mutated(random, reader.samples, reader.longest)


def faults(count: int, seed: int) -> Iterator[str]:
    """What the readers raised besides their own errors, and what took them too long."""
    for reader, given in inputs(all_readers(), count, seed):
        began_s = time.process_time()
        try:
            with suppress(*reader.refuses):
                reader.read(given)
        except Exception as error:  # whatever a reader must not raise is what is sought
            yield f"{reader.name}: {type(error).__name__} {str(error)[:200]} on {given[:200]!r}"
        spent_s = time.process_time() - began_s
        if spent_s > SLOW_S:
            yield f"{reader.name}: {spent_s:.1f} s for {len(given):,} bytes, which begin {given[:200]!r}"


def main() -> None:
    """Run, and print."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    answers = count // HTTP_SHARE
    for fault in faults(count - answers, seed):
        print(fault, flush=True)  # noqa: T201
    asyncio.run(read_answers(answers, seed))
    print(f"{count} inputs")  # noqa: T201


if __name__ == "__main__":
    main()
