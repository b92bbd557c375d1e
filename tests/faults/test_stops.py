"""SIGSTOP for a while, then SIGCONT: nobody else notices, and the stopped one finds its way back."""

import signal
import time

import pytest

from faults.books import check_audit
from faults.nursery import Child
from faults.site import Site, holds

LIFETIMES = 3
SHORT_S = 1.2
"""The lifetime of a key in the short form, where a stop lasts three of them."""

LONG_S = 20.0


def stop_for_a_while(child: Child, lifetime_s: float) -> None:
    """Stop a process for three lifetimes of a key."""
    child.send(signal.SIGSTOP)
    time.sleep(LIFETIMES * lifetime_s)
    child.send(signal.SIGCONT)


SEALED_AHEAD_S = 0.2


def stop_each(site: Site, lifetime_s: float) -> None:
    """Stop the key server, then the sender, then one of two receivers."""
    site.add_channel("film", "--lifetime", f"{lifetime_s}s")
    site.add_viewer("one", "film")
    site.add_viewer("two", "film")
    two = site.receive("film", "two", "--wait")
    one, sender = site.play("film", "one")
    site.wait_for_a_key(two)
    assert site.keyserver is not None
    stop_for_a_while(site.keyserver, lifetime_s)
    changes_again(sender)
    # What is sealed already still leaves under the key before. Held up for longer than a lifetime just then,
    # it would come when receivers have dropped that key.
    time.sleep(SEALED_AHEAD_S)
    stop_for_a_while(sender, lifetime_s)
    changes_again(sender)
    stop_for_a_while(two, lifetime_s)
    changes_again(sender)
    two.skip_log()
    two.wait_for("granted")
    changes_again(sender)
    sent, got, late = sender.stop(), one.summary(), two.summary()
    print(f"sent {sent}\nkept {got}\nstopped {late}")
    assert got["packets_opened"] == sent["packets"]
    assert (got["lost"], got["refused"], got["replayed"]) == (0, 0, 0)
    assert got["key_changes"] == sent["key_changes"]
    assert holds(site.folder / "one-film.bin", got, site.film)
    # What came while it was stopped may be gone; all that it opened since is right, and there is much of it.
    assert (late["refused"], late["replayed"], late["ended_by"]) == (0, 0, "bye")
    assert late["packets_opened"] > sent["packets"] / 2
    check_audit(site)


def changes_again(sender: Child) -> None:
    """Wait until the sender has changed keys once more."""
    sender.skip_log()
    sender.wait_for("on air")


def test_each_is_stopped_for_three_lifetimes(site: Site) -> None:
    """Key server, sender and receiver stand still for three lifetimes each: a stream loses nothing."""
    stop_each(site, SHORT_S)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_each_is_stopped_for_a_minute(site: Site) -> None:
    """Key server, sender and receiver stand still for a minute each: a stream loses nothing."""
    stop_each(site, LONG_S)
