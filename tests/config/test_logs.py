"""Shows what the log looks like and what never reaches it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sealcast.config import logs
from sealcast.core.secret import Secret


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """Give the root logger and structlog back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_off_a_terminal() -> None:
    """Where nobody looks, each entry is one JSON object."""
    stream = io.StringIO()
    logs.set_up("info", "auto", stream=stream)
    structlog.get_logger().info("key changed", channel="news", epoch=7)
    entry = json.loads(stream.getvalue())
    assert (entry["event"], entry["channel"], entry["epoch"], entry["level"]) == (
        "key changed",
        "news",
        7,
        "info",
    )


def test_human_when_asked() -> None:
    """For people, an entry is a line of text; a traceback in it shows no local variables."""
    stream = io.StringIO()
    logs.set_up("info", "human", stream=stream)
    hidden_local = bytes.fromhex("7365616c63617374").hex()
    try:
        int(hidden_local[:2] + "x")
    except ValueError:
        structlog.get_logger().exception("went wrong")
    text = stream.getvalue()
    assert "went wrong" in text
    assert "ValueError: invalid literal" in text
    assert hidden_local[2:] not in text.replace('fromhex("7365616c63617374")', "")


@pytest.mark.parametrize(("louder", "expected"), [(0, 3), (1, 4), (-1, 2), (-2, 1), (-9, 1), (9, 4)])
def test_levels(louder: int, expected: int) -> None:
    """-v and -q move the level by steps and stop at the ends."""
    stream = io.StringIO()
    logs.set_up("info", "json", louder=louder, stream=stream)
    log = structlog.get_logger()
    log.debug("1")
    log.info("2")
    log.warning("3")
    log.error("4")
    assert len(stream.getvalue().splitlines()) == expected


def test_other_libraries_log_the_same_way() -> None:
    """An entry of the standard logging module comes out as ours do; a chatty library's news does not."""
    stream = io.StringIO()
    logs.set_up("info", "json", stream=stream)
    logging.getLogger("somebody").warning("disk %s full", "nearly")
    logging.getLogger("aiohttp").info("chatter")
    assert json.loads(stream.getvalue())["event"] == "disk nearly full"


@pytest.mark.parametrize("style", ["json", "human"])
def test_no_secrets(style: str) -> None:
    """Secrets, raw bytes and values under telling names do not reach the log."""
    stream = io.StringIO()
    logs.set_up("info", style, stream=stream)  # type: ignore[arg-type]
    structlog.get_logger().info("event", a=Secret(b"hunter2"), b=b"hunter2", kek="hunter2", token="hunter2")  # noqa: S106
    assert "hunter2" not in stream.getvalue()
    assert "7 bytes" in stream.getvalue()
