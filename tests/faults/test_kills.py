"""Kill -9 at random moments: what was acknowledged stands, no nonce comes twice, the others never notice."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from cli.terminal import READY_LINE
from faults.asking import Askers
from faults.books import check_books
from faults.capture import Capture, Nonces
from faults.nursery import Child
from faults.site import Site, grows, holds
from sealcast.core.ids import KeyId
from sealcast.keys.material import Tek

DEVICES = 6
SHORT = ("--lifetime", "1200ms")
STEADY = ("--lifetime", "12s", "--publish-at", "75%", "--prefetch-at", "60%")
"""Receivers have seven seconds to fetch a key: a key server that is there half of the time is enough."""

FILM, NEWS, TALK, LAB = "film", "news", "talk", "lab"
"""The channel that never notices; two whose senders are killed; one whose sender only asks."""

KILLED_CHANNELS = (NEWS, TALK)
SENDER_SHARE = 0.35
LIFE_S_MAX = 0.8
"""The longest wait before a kill, about a change of keys; twice the time of a start, if that is longer."""


@dataclass
class Killing:
    """Kills and starts again; keeps count of what it did and of every key there was."""

    site: Site
    captures: dict[str, Capture]
    senders: dict[str, Child]
    random: random.Random
    teks: dict[KeyId, Tek] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    unborn: Counter[str] = field(default_factory=Counter)
    started_s: float = field(default_factory=time.monotonic)

    def kill_once(self) -> None:
        """Kill one of them after a while, and start it again."""
        if self.random.random() < SENDER_SHARE:
            self._kill_sender(self.random.choice(KILLED_CHANNELS))
        else:
            self._kill_keyserver()

    def _kill_keyserver(self) -> None:
        server = self.site.keyserver
        assert server is not None
        # One in four is killed while it starts: it may be bringing its database up to date.
        start_s = 0.0
        if self.random.random() < 0.75 and READY_LINE not in server.out:
            server.wait_for_line(READY_LINE)
            start_s = time.monotonic() - self.started_s
        time.sleep(self.random.uniform(0, max(LIFE_S_MAX, 2 * start_s)))
        self.unborn["keyserver"] += READY_LINE not in server.out
        assert server.kill() == -9, server.err
        self.kills["keyserver"] += 1
        self.teks |= self.site.teks()
        if self.random.random() < 0.1:
            time.sleep(self.random.uniform(0, 3))
        self.started_s = time.monotonic()
        self.site.serve(wait=False)

    def _kill_sender(self, channel: str) -> None:
        sender = self.senders[channel]
        time.sleep(self.random.uniform(0, LIFE_S_MAX))
        status = sender.kill()
        # Without key server and without a slot a start has to say so and end.
        assert status in {-9, 3}, sender.err
        self.kills[channel] += status == -9
        self.unborn[channel] += not any(entry["event"] == "on air" for entry in sender.log)
        self.captures[channel].next_run()
        self.teks |= self.site.teks()
        self.senders[channel] = self.site.send(channel)


def set_up(site: Site) -> None:
    """Four channels whose keys change often; one viewer of two of them, and devices for all."""
    site.add_channel(FILM, *STEADY)
    site.add_channel(NEWS, *SHORT)
    site.add_channel(TALK, *SHORT, "--keys", "keyserver")
    site.add_channel(LAB, *SHORT)
    site.add_viewer("viewer", FILM, NEWS, TALK)
    for number in range(DEVICES):
        site.add_viewer(f"device-{number}", FILM, NEWS, TALK, LAB)


def kill_often(site: Site, kills: int, seed: int) -> None:
    """Run the whole scene with so many kills."""
    set_up(site)
    film = site.receive(FILM, "viewer", "--wait")
    others = [site.receive(channel, "viewer", "--wait") for channel in KILLED_CHANNELS]
    steady = site.send(FILM)
    steady.wait_for("on air")
    with Capture(site.channels[NEWS]) as news, Capture(site.channels[TALK]) as talk:
        captures = {NEWS: news, TALK: talk}
        senders = {channel: site.send(channel) for channel in KILLED_CHANNELS}
        killing = Killing(site, captures, senders, random.Random(seed))  # noqa: S311 - chooses whom to kill
        devices = [f"device-{number}" for number in range(DEVICES)]
        with Askers(site, devices, [FILM, NEWS, TALK], LAB, seed) as askers:
            while killing.kills.total() < kills:
                killing.kill_once()
            site.keyserver.wait_for_line(READY_LINE)
            check_recovery(killing)
        sent = [sender.stop() for sender in killing.senders.values()]
    sent_film, got_film = steady.stop(), film.summary()
    got = [receiver.summary() for receiver in others]
    killing.teks |= site.teks()
    check_books(site, askers.memory, LAB)
    nonces = Nonces()
    for capture in captures.values():
        nonces.check(capture, killing.teks)
    report(killing, askers, nonces)
    assert nonces.opened > 20 * kills
    assert got_film["packets_opened"] == sent_film["packets"] > 0
    assert (got_film["lost"], got_film["refused"], got_film["replayed"]) == (0, 0, 0)
    assert holds(site.folder / "viewer-film.bin", got_film, site.film)
    for last, summary in zip(sent, got, strict=True):
        assert last["packets"] > 0
        assert (summary["refused"], summary["replayed"]) == (0, 0)
        assert summary["packets_opened"] > 0


def check_recovery(killing: Killing) -> None:
    """With the key server back, all senders change keys again, and their viewers open what they send."""
    for channel in KILLED_CHANNELS:
        if not killing.senders[channel].is_alive():
            assert killing.senders[channel].status == 3, killing.senders[channel].err
            killing.captures[channel].next_run()
            killing.senders[channel] = killing.site.send(channel)
            killing.senders[channel].wait_for("on air")
    for channel, sender in killing.senders.items():
        sender.skip_log()
        sender.wait_for("on air")
        # A viewer that has no key when the stream ends cannot know that it ended.
        grows(killing.site.folder / f"viewer-{channel}.bin")


def report(killing: Killing, askers: Askers, nonces: Nonces) -> None:
    """Print the figures."""
    memory = askers.memory
    print(f"kills: {dict(killing.kills)}, of them before they were ready or on air: {dict(killing.unborn)}")
    print(f"answers: {memory.answers}, none: {memory.silences}, refused: {Counter(memory.refusals)}")
    print(f"grants acknowledged: {len(memory.grants)}, epochs leased {len(memory.leased)},", end=" ")
    print(
        f"published {len(memory.published)}, generated {len(memory.generated)}, on air {len(memory.on_air)}"
    )
    print(f"nonces: {nonces.pairs.total()} all different,", end=" ")
    print(f"{nonces.opened} opened, {nonces.without_key} without key")


def test_kills_at_random_moments(site: Site) -> None:
    """Twenty-five kills of the key server and of two senders: the short form."""
    kill_often(site, 25, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_two_hundred_kills_at_random_moments(site: Site) -> None:
    """Two hundred kills of the key server and of two senders."""
    kill_often(site, 200, seed=2)
