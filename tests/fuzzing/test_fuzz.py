"""Invalid input to everything that reads what others wrote: an error of ours, and in linear time."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

import sources.providers
from tests.fuzzing import readers
from tests.fuzzing.cost import growth
from tests.fuzzing.http_answers import read_answers
from tests.fuzzing.mutations import pumped
from tests.fuzzing.readers import Reader, all_readers
from tests.fuzzing.run import faults

READERS = all_readers()


def test_invalid_input_is_refused() -> None:
    assert list(faults(3_000, seed=1)) == []


async def test_invalid_http_answers_are_refused() -> None:
    await read_answers(300, seed=1)


@pytest.mark.parametrize(
    "pumps", [2, pytest.param(120, marks=[pytest.mark.proof, pytest.mark.timeout(1_200)])]
)
def test_the_cost_of_reading_is_linear(pumps: int) -> None:
    """A middle that is repeated twice as often costs less than three times the processor time."""
    random = Random(f"pumps {pumps}")
    superlinear = []
    for reader in READERS:
        for _ in range(pumps if reader.is_linear else 0):
            start, middle, end = pumped(random, reader.samples)
            measured = growth(reader, start, middle, end)
            if measured is not None and not measured.is_linear:
                superlinear.append((reader.name, measured, start[-80:], middle, end[:80]))
    assert superlinear == []


def test_quadratic_cost_is_detected() -> None:
    tags = re.compile(r"</?[a-zA-Z][^>]*>")
    reader = Reader("tags", lambda text: tags.sub("", text.decode()), (b"<b>",), 20_000)
    measured = growth(reader, b"", b"<a", b"")
    assert measured is not None
    assert not measured.is_linear


def test_every_decoder_of_a_provider_is_a_reader() -> None:
    known = Path(readers.__file__).read_text()
    for path in Path(sources.providers.__file__).parent.glob("*.py"):
        for decoder in re.findall(r"^def (decode_\w+|error_in)\(", path.read_text(), re.MULTILINE):
            module = "" if path.stem == "feed_parser" else f"{path.stem}."
            assert f"{module}{decoder}" in known, f"{path.stem}.{decoder}"


def test_every_reader_has_samples_that_it_reads() -> None:
    for reader in READERS:
        assert reader.samples, reader.name
        refused = 0
        for sample in reader.samples:
            try:
                reader.read(sample)
            except reader.refuses:
                refused += 1
        assert refused < len(reader.samples), reader.name
