"""The error hierarchy: messages, facts, exit statuses, travel between processes."""

from __future__ import annotations

import errno
import pickle  # noqa: TID251 - our own objects, as a process pool sends them
from pathlib import Path

import pytest

from pigeon_rec import errors
from pigeon_rec.errors import ConfigError, PigeonError, error_text, may_pass, storage_error

KINDS = [
    kind for kind in (getattr(errors, name) for name in errors.__all__) if isinstance(kind, type)
]


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3x://key:se/cret@host/nights is unknown", "s3x://key:***@host/nights is unknown"),
        ("received 'ftp://me:p:w@x@host/a'", "received 'ftp://me:***@host/a'"),
        ("redis://:secret@host", "redis://:***@host"),
        ("http://host:8080/user@home", "http://host:8080/user@home"),
        ("file:///srv/a:b@c", "file:///srv/a:b@c"),
        ("s3://bucket/a", "s3://bucket/a"),
    ],
)
def test_passwords_of_addresses_are_in_no_part_of_an_error(text: str, shown: str) -> None:
    error = PigeonError(text, location=text, remedy=text)
    assert (error.what, error.location, error.remedy) == (shown, shown, shown)
    assert str(error) == f"{shown} [{shown}]. {shown}"
    assert "secret" not in repr(error)


def test_an_error_may_say_whether_a_retry_helps() -> None:
    assert not ConfigError("a").retryable
    error = ConfigError("a", retryable=True)
    assert error.retryable
    assert pickle.loads(pickle.dumps(error)).retryable  # noqa: S301


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EIO, "disk"), True),
        (OSError(errno.ESTALE, "network drive"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        (TimeoutError(), True),
        (OSError("EndpointConnectionError: no route"), True),
        (PermissionError(errno.EACCES, "denied"), False),
        (PermissionError("Forbidden"), False),
        (FileNotFoundError("gone"), False),
        (OSError(errno.EROFS, "read-only"), False),
        (OSError(errno.ENAMETOOLONG, "long"), False),
    ],
)
def test_errors_that_may_pass_are_told_from_those_that_stay(error: OSError, passes: bool) -> None:
    assert may_pass(error) == passes
    assert storage_error(error, "/srv").retryable == passes


def test_a_storage_error_has_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = storage_error(OSError(errno.ENOSPC, "No space left on device", "runs/a"), "/srv")
    assert error.what == "cannot read or write a file: No space left on device"
    assert error.location == str(tmp_path / "runs" / "a")
    assert error.remedy is not None
    assert error.remedy.startswith("Free space")
    assert storage_error(OSError(errno.EIO, "bad"), "/srv").location == "/srv"
