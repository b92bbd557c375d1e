"""Owns a model of who may have which keys, beside a real key server, and what has to hold of both."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import jose, operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import encode
from sealcast.messages.operation import Operation
from sealcast.messages.requests import RegisteredKeys
from sealcast.messages.subscribing import WithdrawalBegun
from sealcast.server.withdrawing import OFFENCES_OPEN_MAX
from server.inprocess import Guest, InProcess
from server.running import RANDOM, Reply, material

DEVICES = ("TV-1", "TV-2", "TV-3")
CHANNELS = ("news", "sport")
AHEAD_MAX = 2
"""Keys published and not yet on air, as a sender has them at most."""

CERTIFIED_S = 2 * 24 * 3_600
SILENCE_S = 90
WITHOUT_RIGHT = """
SELECT g.device, g.channel, g.epoch FROM grants g WHERE NOT EXISTS (
    SELECT 1 FROM subscriptions s WHERE s.device = g.device AND s.channel = g.channel
    AND s.added_at_ms <= g.granted_at_ms
    AND (s.removed_at_ms IS NULL OR g.granted_at_ms < s.removed_at_ms))
"""
BEYOND_FENCE = """
SELECT g.device, g.channel, g.epoch FROM grants g JOIN subscriptions s
    ON s.device = g.device AND s.channel = g.channel AND g.epoch >= s.fence_epoch
WHERE NOT EXISTS (
    SELECT 1 FROM subscriptions b WHERE b.device = s.device AND b.channel = s.channel
    AND b.id > s.id AND b.added_at_ms <= g.granted_at_ms)
"""

Pair = tuple[str, str]


@dataclass
class Air:
    """A channel as its sender has it."""

    number: int
    ssrc: int = 0
    on_air: int = 0
    ahead: list[int] = field(default_factory=list)
    fences: list[int] = field(default_factory=list)


@dataclass
class Statement:
    """An erasure statement as sent: by whom, the token, what it erased; whether it closed something."""

    caller: Guest
    token: str
    scope: str
    erased: list[str]
    closed: bool = False


@dataclass
class Asked:
    """A key request as sent, to be sent again."""

    caller: Guest
    channel: str
    jti: str


class Service:
    """A key server, three devices, two channels, and what has to be so."""

    def __init__(self) -> None:
        super().__init__()
        self.server = InProcess()
        self.sold: dict[str, str] = {}
        self.parties: dict[str, Guest] = {}
        self.strangers: list[Guest] = []
        self.good_until: dict[str, int | None] = {}
        self.revoked: set[str] = set()
        self.without_kek: set[str] = set()
        self.open: set[str] = set()
        self.listed: set[Pair] = set()
        self.barred: set[Pair] = set()
        self.removed: set[Pair] = set()
        self.heard: dict[Pair, int] = {}
        self.offences: Counter[str] = Counter()
        self.pardoned: Counter[str] = Counter()
        self.begun: dict[str, tuple[Guest, WithdrawalBegun]] = {}
        self.stale: list[tuple[Guest, WithdrawalBegun]] = []
        self.sent: list[Statement] = []
        self.asked: list[Asked] = []
        self.granted: set[tuple[str, str, int]] = set()
        self.erased: set[tuple[str, str, int]] = set()
        self.air: dict[str, Air] = {}
        self._set_up()

    def _set_up(self) -> None:
        signing, kek = new_keys(KeyKind.ED25519, RANDOM)
        self.sender = self.server.party("sender", "studio", signing, kek)
        keys = RegisteredKeys(signing=signing.public(), kek=kek.public())
        server_kek = self.sender.credential.server_kek
        sealed = jose.seal(encode(keys), server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY)
        self.must(self.operator, operations.REGISTRY_ADD, id="studio", role="sender", sealed_keys=sealed)
        for at, name in enumerate(CHANNELS):
            data = ChannelData(name=name, group="239.1.2.3", port=5004 + 2 * at)
            added = self.must(self.operator, operations.CHANNEL_ADD, channel=data, senders=["studio"])
            self.air[name] = Air(added.channels[0].channel.number)
            self.publish(name)
            self.switch(name, hears=True)

    def teardown(self) -> None:
        """End the server."""
        self.server.close()

    @property
    def operator(self) -> Guest:
        """The operator's side."""
        return self.server.operator

    @property
    def now_s(self) -> int:
        """The server's time."""
        return self.server.clock.monotonic_ns() // NS_PER_S

    def ask(self, caller: Guest, operation: Operation, **fields: Any) -> Reply:
        """Ask the server, a moment after whatever was before; nonces are old after long silences."""
        self.server.clock.advance(5 * NS_PER_MS)
        caller.nonce = ""
        reply = self.server.run(caller.ask(operation, **fields))
        assert reply.problem != "internal", reply.detail
        return reply

    def must(self, caller: Guest, operation: Operation, **fields: Any) -> Any:
        """Ask, and be told yes."""
        reply = self.ask(caller, operation, **fields)
        assert reply.status == 200, (operation.name, reply.problem, reply.detail)
        return reply.answer

    def is_good(self, caller: Guest) -> bool:
        """Whether the server knows these keys, and they are neither revoked nor too old."""
        name = caller.credential.id
        until = self.good_until.get(name)
        is_current = self.parties.get(name) is caller and name not in self.revoked
        return is_current and (until is None or self.now_s < until)

    def has_right(self, caller: Guest, channel: str) -> bool:
        """Whether a caller may have the keys of a channel at this moment."""
        return self.is_good(caller) and (caller.credential.id, channel) in self.listed

    def anybody(self, at: int) -> Guest | None:
        """Return one of all who ever were a device: those registered, and those who were."""
        everybody = [*self.parties.values(), *self.strangers]
        return everybody[at % len(everybody)] if everybody else None

    def request(self, asked: Asked) -> None:
        """Ask for keys; they come exactly to who has a right to them."""
        reply = self.ask_keys(asked)
        assert (reply.status == 200) == self.has_right(asked.caller, asked.channel), reply.detail
        if reply.status == 200:
            air = self.air[asked.channel]
            given = {int(key.material.key_id[8:], 16) for key in reply.answer.keys}
            assert given <= {air.on_air, *air.ahead}
            self.given(asked, reply)
            self.heard[asked.caller.credential.id, asked.channel] = self.now_s

    def ask_keys(self, asked: Asked) -> Reply:
        """Ask for keys."""
        return self.ask(asked.caller, operations.KEYS, channel=asked.channel, jti=asked.jti)

    def given(self, asked: Asked, reply: Reply) -> None:
        """Note keys that were given."""
        for key in reply.answer.keys:
            epoch = int(key.material.key_id[8:], 16)
            whose = asked.caller.credential.id, asked.channel, epoch
            self.granted.add(whose)
            self.erased.discard(whose)

    def publish(self, channel: str) -> None:
        """Publish the next key of the sender's lease."""
        air = self.air[channel]
        if len(air.ahead) >= AHEAD_MAX:
            return
        lease = self.must(self.sender, operations.LEASE, channel=channel, first_unused=air.on_air + 1)
        air.ssrc = air.ssrc or lease.slots[0].ssrc
        epoch = next(slot.epoch for slot in lease.slots if slot.epoch not in air.ahead)
        server_kek = self.sender.credential.server_kek
        sealed = jose.seal(
            encode(material(air.number, epoch)), server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
        )
        self.must(self.sender, operations.PUBLISH, channel=channel, epoch=epoch, sealed_key=sealed)
        air.ahead = sorted([*air.ahead, epoch])

    def switch(self, channel: str, *, hears: bool) -> None:
        """Change keys; a sender that heard of its fences never goes on under a key below one."""
        air = self.air[channel]
        order = self._report(channel, air.on_air).fence if air.on_air and hears else None
        floor = 0 if order is None else order.epoch
        ahead = [epoch for epoch in air.ahead if epoch >= floor]
        if not ahead:
            return
        if hears:
            assert ahead[0] >= max(air.fences, default=0)
        air.on_air = ahead[0]
        air.ahead = [epoch for epoch in air.ahead if epoch > air.on_air]
        self._report(channel, air.on_air)

    def _report(self, channel: str, epoch: int) -> Any:
        return self.must(
            self.sender,
            operations.ON_AIR,
            channel=channel,
            ssrc=self.air[channel].ssrc,
            epoch=epoch,
            cause="schedule",
            remaining_ms=600_000,
            lifetime_ms=600_000,
            extended=False,
            roc=0,
            seq=1,
            totals=[],
        )

    def check_grants(self) -> None:
        """Each grant on record fell into a subscription, and none above a fence."""
        assert self.server.read(WITHOUT_RIGHT) == []
        assert self.server.read(BEYOND_FENCE) == []
        names = {air.number: channel for channel, air in self.air.items()}
        rows = self.server.read("SELECT device, channel, epoch FROM grants")
        assert self.granted == {(device, names[number], epoch) for device, number, epoch in rows}

    def check_records(self) -> None:
        """Compare list, receptions, offences, erasures and audit, on disk and as the operator sees them."""
        subscribers = self.must(self.operator, operations.SUBSCRIBER_LIST).subscribers
        assert {(row.device, row.channel) for row in subscribers} == self.listed
        live = self.live()
        assert live <= self.listed
        assert {pair for pair, at_s in self.heard.items() if self.now_s - at_s < SILENCE_S} <= live
        offenders = self.must(self.operator, operations.OFFENDER_LIST).offenders
        open_ = Counter(row.device for row in offenders if row.pardoned_at is None)
        assert open_ == +self.offences
        names = {air.number: channel for channel, air in self.air.items()}
        erased = self.server.read("SELECT device, channel, epoch FROM erasures WHERE void_at_ms IS NULL")
        assert self.erased == {(device, names[number], epoch) for device, number, epoch in erased}
        self._check_audit()

    def _check_audit(self) -> None:
        """Compare the audit, line by line counted, with the subscriptions and offences on record."""
        done = Counter[str]()
        for what, subject in self.server.read("SELECT what, subject FROM audit"):
            done[what] += len(subject.split()) - 1 if what == "withdraw" else 1
        ended = Counter(by for (by,) in self.server.read("SELECT ended_by FROM subscriptions"))
        assert done["subscribe"] + done["subscriber-add"] == sum(ended.values())
        assert done["subscriber-remove"] == ended["removed"] + ended["party-removed"]
        assert done["withdraw"] == ended["withdrawn"]
        assert done["offence"] == sum(self.offences.values()) + sum(self.pardoned.values())

    def live(self) -> set[Pair]:
        """Return whose receptions live."""
        answer = self.must(self.operator, operations.RECEPTION_LIST)
        assert len(answer.receptions) == answer.live
        return {(row.device, row.channel) for row in answer.receptions}

    def is_sold(self, serial: str) -> bool:
        """Whether a device is let in, by the list of those sold."""
        return serial in self.sold or "sale" not in self.sold.values()

    def leave(self, pair: Pair) -> None:
        """Note that a subscription has ended, and see that its reception has."""
        self.listed.discard(pair)
        self.heard.pop(pair, None)
        assert pair not in self.live()

    def offend_once(self, name: str) -> None:
        """Note an offence."""
        if self.offences[name] < OFFENCES_OPEN_MAX:
            self.offences[name] += 1
