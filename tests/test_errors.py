"""The error hierarchy: messages, facts, exit statuses, travel between processes."""

from __future__ import annotations

import pickle  # noqa: TID251 - our own objects, as a process pool sends them

import pytest

from pigeon_rec import errors
from pigeon_rec.errors import ConfigError, PigeonError, error_text

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "error_text"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_ours_and_ends_with_a_status(kind: type[PigeonError]) -> None:
    assert issubclass(kind, PigeonError)
    assert 0 < kind.exit_code < 75


def test_the_message_says_what_where_and_what_to_do() -> None:
    error = ConfigError("a value is wrong", location="night.yaml: seed", remedy="Write a number")
    assert str(error) == "a value is wrong [night.yaml: seed]. Write a number"
    assert str(ConfigError("a value is wrong")) == "a value is wrong"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", KINDS)
def test_facts_survive_a_process_border(kind: type[PigeonError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what", location="location", remedy="remedy")))  # noqa: S301
    assert type(copy) is kind
    assert (copy.what, copy.location, copy.remedy) == ("what", "location", "remedy")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("in <_io.BytesIO object at 0x7f00deadbeef>, line 2"), "in, line 2"),
        (ValueError("two\n  lines"), "two lines"),
        (IndexError(), "IndexError"),
        (ValueError("x" * 1000), "x" * 300),
    ],
)
def test_error_texts_are_short_and_equal_in_two_runs(error: Exception, text: str) -> None:
    assert error_text(error) == text
