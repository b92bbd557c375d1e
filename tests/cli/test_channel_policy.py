"""What `channel add` makes of the options on key schedules and scrambling, and what `channel show` says."""

import json
from collections.abc import Iterator

import pytest

from cli.terminal import Terminal, new_operator

GROUPS = iter(f"239.255.8.{number}:5004" for number in range(1, 100))


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal whose key server runs."""
    terminal = new_operator(tmp_path_factory.mktemp("policy"))
    with terminal.key_server():
        yield terminal


def add(operator: Terminal, name: str, *options: str) -> str:
    """Add a channel and return what was said."""
    return operator.good("channel", "add", name, "--group", next(GROUPS), *options)


def test_a_chain(operator: Terminal) -> None:
    """The schedule, its fresh starts, repeats and cycle are stored, and shown to people."""
    add(operator, "c1", "--schedule", "chain", "--lifetime", "1m", "--fresh-every", "30m", "--cycle", "4")
    shown = operator.good("channel", "show", "c1")
    assert "chained, a fresh start each 30m; an update is sent 5 times, 4 of them in turn" in shown
    row = json.loads(operator.good("channel", "show", "c1", "--json"))["channel"]
    assert (row["schedule"], row["fresh_every_ms"], row["cycle"]) == ("chain", 1_800_000, 4)
    add(operator, "c2", "--schedule", "chain", "--lifetime", "2h")
    assert "a fresh start each 2h" in operator.good("channel", "show", "c2")


def test_a_scrambled_channel_comes_with_a_warning(operator: Terminal) -> None:
    """The content chooses the pattern; whoever adds it reads what it is worth."""
    out = add(operator, "s1", "--suite", "scramble", "--content", "news", "--pattern-every", "2s,500p")
    assert "warning: s1 is scrambled, not encrypted" in out
    shown = operator.good("channel", "show", "s1")
    assert "single, 32 bits, a new one after 500 packets, 2s; scrambled only" in shown
    add(operator, "s2", *("--suite", "scramble", "--pattern-rule", "inverted", "--pattern-bits", "4"))
    assert "inverted, 4 bits" in operator.good("channel", "show", "s2")


def test_packets_without_key_id(operator: Terminal) -> None:
    """They need the sender's endpoint, and plain UDP the suite without a tag."""
    add(operator, "k1", "--framing", "rtp", "--ask", "127.0.0.1:5600")
    shown = operator.good("channel", "show", "k1")
    assert "rtp without key ID; the sender answers at 127.0.0.1:5600" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fresh-every", "1h"], "add --schedule chain"),
        (["--repeats", "3"], "add --schedule chain"),
        (["--schedule", "chain", "--keys", "keyserver"], "the sender makes the keys of a chain"),
        (["--schedule", "chain", "--fresh-every", "1m"], "after one lifetime"),
        (["--schedule", "chain", "--repeats", "17"], "1 to 16 times"),
        (["--suite", "scramble", "--confidential"], "a confidential channel takes aes-128-gcm"),
        (["--suite", "scramble", "--pattern-rule", "a,b"], "one key server"),
        (["--suite", "scramble", "--pattern-bits", "3"], "4 to 4096 bits"),
        (["--pattern-bits", "32"], "for --suite scramble"),
        (["--framing", "rtp"], "--ask HOST:PORT"),
        (["--framing", "udp", "--ask", "127.0.0.1:5600"], "--suite scramble"),
        (["--framing", "rtp", "--ask", "nowhere"], "HOST:PORT"),
    ],
)
def test_what_does_not_go_together(operator: Terminal, options: list[str], says: str) -> None:
    """One clear line, status 2, and no channel."""
    done = operator.run("channel", "add", "wrong", "--group", "239.255.9.1:5004", *options)
    assert done.status == 2
    assert says in done.complaint
