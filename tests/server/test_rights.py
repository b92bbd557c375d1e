"""Shows that nobody gets a key without a right to it, and that all records agree, in any order of events."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sealcast.core.ports import NS_PER_S
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.enrolment import new_token, token_hash
from sealcast.messages.subscribing import SoldDevice
from server.inprocess import Guest
from server.newcomers import enrolled, keys_of
from server.rights import CERTIFIED_S, CHANNELS, DEVICES, Asked, Service, Statement
from server.running import RANDOM, running
from server.withdrawals import begin, receipt_of, signed, statement_of, withdraw


def test_a_copy_of_destroyed_keys_does_not_come_back(tmp_path: Path) -> None:
    """Who stated that its KEK is destroyed is subscribed no more under it; enrolled anew, it is."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=True)
            device = await enrolled(server, id="tv", channels=["news"])
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            again = await device.ask(operations.SUBSCRIBE, channel="news", user="Ada")
            assert (again.problem, "enrols anew" in again.detail) == ("not-in-good-standing", True)
            again = await server.operator.ask(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            assert again.problem == "not-in-good-standing"
            receipt_of(server, await withdraw(device, token), token)
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            back = await enrolled(server, id="tv")
            await back.must(operations.SUBSCRIBE, channel="news", user="Ada")
            assert (await back.ask(operations.KEYS, channel="news")).status == 200

    asyncio.run(story())


BAD = "no statement"
EXAMPLES, EXAMPLES_LONG, STEPS = 4, 300, 40
devices, channels = st.sampled_from(DEVICES), st.sampled_from(CHANNELS)


class Rights(Service, RuleBasedStateMachine):
    """What may happen at a key server with three devices and two channels, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.enrol("TV-1", KeyKind.SYMMETRIC, "news")
        self.enrol("TV-2", KeyKind.ED25519, "sport")
        self.publish("news")
        self.add("TV-1", "sport")
        for at, channel in enumerate(CHANNELS):
            self.request_keys(at, channel)

    # Devices come and go

    @rule(serial=devices)
    def sell(self, serial: str) -> None:
        """Sell a device."""
        answer = self.must(self.operator, operations.SOLD_ADD, devices=[SoldDevice(serial=serial)])
        assert answer.added == (self.sold.get(serial) != "sale")
        self.sold[serial] = "sale"

    @rule(serial=devices)
    def unsell(self, serial: str) -> None:
        """Take a device off the list of those sold."""
        reply = self.ask(self.operator, operations.SOLD_REMOVE, serial=serial)
        assert (reply.status == 200) == (serial in self.sold)
        self.sold.pop(serial, None)

    @rule(serial=devices, kind=st.sampled_from([KeyKind.SYMMETRIC, KeyKind.ED25519]), on=st.none() | channels)
    def enrol(self, serial: str, kind: KeyKind, on: str | None) -> None:
        """Enrol a device under a serial number of its own choice; it may come onto a channel with it."""
        token = new_token(RANDOM)
        invited = [] if on is None else [on]
        self.must(self.operator, operations.INVITE, token_hash=token_hash(token), channels=invited)
        newcomer = self.server.newcomer(kind)
        reply = self.ask(newcomer, operations.ENROL, token=token, id=serial, **keys_of(newcomer))
        is_let_in = self.is_sold(serial) and serial not in self.parties
        assert (reply.status == 200) == is_let_in, reply.detail
        if not is_let_in:
            return
        renamed = newcomer.renamed(serial)
        assert isinstance(renamed, Guest)
        self.parties[serial] = renamed
        is_certified = kind is not KeyKind.SYMMETRIC
        self.good_until[serial] = self.now_s + CERTIFIED_S if is_certified else None
        if on is not None:
            self.listed.add((serial, on))

    @rule(serial=devices)
    def dismiss(self, serial: str) -> None:
        """Make a device nobody."""
        reply = self.ask(self.operator, operations.REGISTRY_REMOVE, id=serial)
        assert (reply.status == 200) == (serial in self.parties)
        if reply.status == 200:
            self.strangers = [*self.strangers[-3:], self.parties.pop(serial)]
            self.revoked.discard(serial)
            self.without_kek.discard(serial)
            self.good_until.pop(serial, None)
            for channel in CHANNELS:
                self.barred.discard((serial, channel))
                self.leave((serial, channel))
                self.removed.discard((serial, channel))

    @rule(serial=devices)
    def revoke(self, serial: str) -> None:
        """Revoke a device's certificates."""
        reply = self.ask(self.operator, operations.CERTIFICATE_REVOKE, id=serial)
        if reply.status == 200 and self.good_until.get(serial) is not None:
            self.revoked.add(serial)

    # Subscriptions

    @rule(channel=channels, opened=st.booleans())
    def open_channel(self, channel: str, opened: bool) -> None:  # noqa: FBT001 - drawn
        """Open or close a channel."""
        self.must(self.operator, operations.CHANNEL_OPEN, channel=channel, open=opened)
        (self.open.add if opened else self.open.discard)(channel)

    @rule(at=st.integers(0, 9), channel=channels)
    def subscribe(self, at: int, channel: str) -> None:
        """Subscribe: yes exactly if everything speaks for it."""
        caller = self.anybody(at)
        if caller is None:
            return
        name = caller.credential.id
        may = (
            self.is_good(caller)
            and self.is_sold(name)
            and channel in self.open
            and (name, channel) not in self.listed | self.removed
            and not self.offences[name]
            and name not in self.without_kek
        )
        reply = self.ask(caller, operations.SUBSCRIBE, channel=channel, user="Ada")
        assert (reply.status == 200) == may, reply.detail
        if may:
            self.listed.add((name, channel))

    @rule(serial=devices, channel=channels)
    def add(self, serial: str, channel: str) -> None:
        """Put a device on a list."""
        may = serial in self.parties and (serial, channel) not in self.listed
        may = may and serial not in self.without_kek
        reply = self.ask(self.operator, operations.SUBSCRIBER_ADD, channel=channel, device=serial)
        assert (reply.status == 200) == may, reply.detail
        if may:
            self.listed.add((serial, channel))
            self.barred.discard((serial, channel))
            self.removed.discard((serial, channel))

    @rule(serial=devices, channel=channels, now=st.booleans())
    def remove(self, serial: str, channel: str, now: bool) -> None:  # noqa: FBT001 - drawn
        """Take a device off a list: the fence is above all that it has."""
        pair = serial, channel
        reply = self.ask(self.operator, operations.SUBSCRIBER_REMOVE, channel=channel, device=serial, now=now)
        assert (reply.status == 200) == (pair in self.listed)
        if reply.status == 200:
            self.leave(pair)
            self.removed.add(pair)
            fence = reply.answer.fence_epoch
            assert fence > max((epoch for *whose, epoch in self.granted if tuple(whose) == pair), default=0)
            assert all(epoch < fence for epoch in reply.answer.skipped)
            self.air[channel].fences.append(fence)

    # Keys

    @rule(at=st.integers(0, 9), channel=channels)
    def request_keys(self, at: int, channel: str) -> None:
        """Ask for keys: they come exactly to who has a right to them."""
        caller = self.anybody(at)
        if caller is not None:
            asked = Asked(caller, channel, b64url_encode(RANDOM.bytes(16)))
            self.asked = [*self.asked[-3:], asked]
            self.request(asked)

    @rule(channel=channels)
    def publish_next(self, channel: str) -> None:
        """Publish a key."""
        self.publish(channel)

    @rule(channel=channels, hears=st.sampled_from([True, True, True, False]))
    def change_keys(self, channel: str, hears: bool) -> None:  # noqa: FBT001 - drawn
        """Change keys."""
        self.switch(channel, hears=hears)

    # Receptions

    @rule(at=st.integers(0, 9), channel=channels)
    def heartbeat(self, at: int, channel: str) -> None:
        """Say that one receives: heard exactly of those who have a right to."""
        caller = self.anybody(at)
        if caller is None:
            return
        pair = caller.credential.id, channel
        reply = self.ask(caller, operations.HEARTBEAT, channel=channel, packets=7)
        assert (reply.status == 200) == self.has_right(caller, channel), reply.detail
        if reply.status == 200 and pair in self.heard and pair in self.live():
            self.heard[pair] = self.now_s

    @rule(at=st.integers(0, 9), channel=channels)
    def stop(self, at: int, channel: str) -> None:
        """Stop receiving."""
        caller = self.anybody(at)
        if caller is not None:
            reply = self.ask(caller, operations.STOP, channel=channel)
            assert (reply.status == 200) == self.is_good(caller)
            if reply.status == 200:
                self.heard.pop((caller.credential.id, channel), None)
                assert (caller.credential.id, channel) not in self.live()

    @rule(seconds=st.sampled_from([1, 20, 40, 100]))
    def let_pass(self, seconds: int) -> None:
        """Let time pass."""
        self.server.let_pass(seconds)

    @rule()
    def let_certificates_expire(self) -> None:
        """Let days pass: certificates go out of date, and nobody is called silent for that alone."""
        self.server.clock.advance(3 * 24 * 3_600 * NS_PER_S)
        self.heard.clear()
        self.server.let_pass(1)

    # Withdrawal

    @rule(at=st.integers(0, 9), channel=channels | st.just("*"), at_once=st.booleans())
    def begin_withdrawal(self, at: int, channel: str, at_once: bool) -> None:  # noqa: FBT001 - drawn
        """Begin a withdrawal, and maybe finish it."""
        caller = self.anybody(at)
        if caller is None:
            return
        name = caller.credential.id
        on = {of for device, of in self.listed if device == name}
        may = self.is_good(caller) and bool(on) and channel in {"*", *on}
        reply = self.ask(caller, operations.WITHDRAWAL, channel=channel)
        assert (reply.status == 200) == may, reply.detail
        if may:
            if name in self.begun:
                self.stale.append(self.begun[name])
            self.begun[name] = caller, reply.answer
            assert (reply.answer.scope == "*") == (channel == "*" or on == {channel})
            if at_once:
                self._state(name)

    @rule(at=st.integers(0, 9))
    def withdraw(self, at: int) -> None:
        """Send the statement that was asked for."""
        if self.begun:
            self._state(sorted(self.begun)[at % len(self.begun)])

    def _state(self, name: str) -> None:
        """Send a device's statement: what it is for is closed, and what it erased on record."""
        caller, begun = self.begun[name]
        statement = statement_of(caller, begun)
        token = signed(caller, statement)
        reply = self.ask(caller, operations.WITHDRAW, statement=token)
        assert (reply.status == 200) == self.is_good(caller), reply.detail
        if reply.status != 200:
            return
        del self.begun[name]
        self.sent.append(Statement(caller, token, begun.scope, begun.key_ids, closed=True))
        for channel, air in self.air.items():
            if begun.scope in {"*", str(air.number)}:
                self.leave((name, channel))
        if begun.scope == "*":
            self.without_kek.add(name)
        names = {air.number: channel for channel, air in self.air.items()}
        for key_id in begun.key_ids:
            self.erased.add((name, names[int(key_id[:8], 16)], int(key_id[8:], 16)))

    @rule(at=st.integers(0, 9), how=st.sampled_from(["bad", "foreign", "stale"]))
    def offend(self, at: int, how: str) -> None:
        """Send a statement that is none of one's own, or out of date: it changes nothing but the record."""
        caller = self.anybody(at)
        if caller is None:
            return
        token = BAD
        if how == "foreign":
            others = [of for of in self.begun.values() if of[0] is not caller]
            if others:
                token = signed(others[0][0], statement_of(*others[0]))
        elif how == "stale":
            own = [begun for whose, begun in self.stale if whose is caller]
            if own:
                token = signed(caller, statement_of(caller, own[0]))
        reply = self.ask(caller, operations.WITHDRAW, statement=token)
        assert reply.status != 200
        if self.is_good(caller):
            assert reply.problem == "erasure-refused"
            self.offend_once(caller.credential.id)

    @precondition(lambda self: self.sent)
    @rule(at=st.integers(0, 9), thief=st.none() | st.integers(0, 9))
    def replay(self, at: int, thief: int | None) -> None:
        """Send an old statement again: the same receipt, or a warning to who is back, or not its signer."""
        old = self.sent[at % len(self.sent)]
        caller = old.caller if thief is None else self.anybody(thief)
        if caller is None:
            return
        name = caller.credential.id
        before = set(self.listed)
        reply = self.ask(caller, operations.WITHDRAW, statement=old.token)
        assert self.listed == before
        if not self.is_good(caller):
            assert reply.status != 200
        elif reply.status != 200:
            assert reply.problem == "erasure-refused"
            self.offend_once(name)
        else:
            assert name == old.caller.credential.id

    @rule(serial=devices)
    def pardon(self, serial: str) -> None:
        """Let an offender off."""
        reply = self.ask(self.operator, operations.OFFENDER_PARDON, device=serial)
        assert (reply.status == 200) == bool(self.offences[serial])
        self.pardoned[serial] += self.offences.pop(serial, 0)

    # What holds after each step

    @invariant()
    def nothing_was_given_without_a_right(self) -> None:
        """Look at all grants on record."""
        self.check_grants()

    @invariant()
    def old_requests_are_judged_anew(self) -> None:
        """Send old requests again, as if their answers had been lost: the right counts at this moment."""
        for asked in self.asked:
            reply = self.ask_keys(asked)
            assert reply.status != 200 or self.has_right(asked.caller, asked.channel)
            if reply.status == 200:
                self.given(asked, reply)

    @invariant()
    def all_records_agree(self) -> None:
        """Compare the records with each other."""
        self.check_records()


def test_withdrawn_and_back_with_an_old_request() -> None:
    """A key that comes by an old request after its erasure is on record as held again."""
    story = Rights()
    try:
        story.begin_withdrawal(0, "news", at_once=True)
        assert story.erased
        story.old_requests_are_judged_anew()
        story.check_records()
        assert story.erased
        story.add("TV-1", "news")
        story.old_requests_are_judged_anew()
        assert not story.erased
        story.check_records()
        story.check_grants()
    finally:
        story.teardown()


def test_in_any_order() -> None:
    """Whatever happens in whatever order, keys go to who has a right to them at that moment."""
    _run(EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_in_any_order_at_length() -> None:
    """The same, long."""
    _run(EXAMPLES_LONG)


def _run(examples: int) -> None:
    run_state_machine_as_test(
        Rights,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            # Shrinking takes longer than the story that it makes shorter.
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
