"""Owns a sender's run on one channel: payloads in; sealed packets, SEAL packets and actions out.

It does no I/O and knows no clock: `now` is monotonic nanoseconds that never fall. Its methods are of four
kinds, and the caller's loop uses them in this order:

* inputs: `handle_*` bring in what the outside answered;
* outputs: `poll_action` until None, `poll_control`, then wait until `next_timeout` or more input;
* the packet path: `seal`, once `is_on_air`;
* the end: `end`, whose packets leave a little apart, then `poll_action` once more for the last report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sealcast.core.channel import ChannelSpec, Framing
from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch, PacketIndex, Ssrc
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import Action, ReportAir, ShareKeys, Totals
from sealcast.sender.airepoch import AirEpoch
from sealcast.sender.announcing import seal_content
from sealcast.sender.beside import SharedKeys
from sealcast.sender.besiding import Beside
from sealcast.sender.boundary import Boundary
from sealcast.sender.coming import SILENCE_NS
from sealcast.sender.control import BURST, ControlSchedule
from sealcast.sender.epochs import EpochPlanner
from sealcast.sender.epochs_beside import BesidePlanner
from sealcast.sender.keyless import cut_of
from sealcast.sender.reports import REPORT_NS, ReportSchedule
from sealcast.sender.scrambling import Scrambling
from sealcast.sender.values import SenderState
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.seal import Seal, SenderCounts, build_seal
from sealcast.wire.sealing import INDEX_LIMIT, Payload, SealedBatch, Sealer

FIRST_SEQ_LIMIT = 1 << 15
"""SEQ starts below 2^15, so that a lost first packet is not taken for a rollover (RFC 3711 §3.3.1)."""


class SenderSession:
    """One run of a sender: one SSRC, a rising index, one key after the other."""

    def __init__(
        self,
        *,
        spec: ChannelSpec,
        lease: Lease,
        known: Mapping[Epoch, Tek],
        sign: Callable[[bytes], bytes],
        key_servers: Sequence[str],
        random: Random,
        now: int,
        first_seq: int | None = None,
        report_ns: int = REPORT_NS,
        is_beside: bool = False,
        silence_ns: int = SILENCE_NS,
    ) -> None:
        """`known` holds keys already made for leased epochs; `sign` makes Ed25519 signatures.

        A report is made every `report_ns` at least, while no events are heard (`handle_listening`). When none
        was answered for `silence_ns`, the epoch on air is extended instead of changed by the schedule.

        `is_beside`: under the keys of other runs of the channel, where there are any.

        Raises LocalError if the lease has no slot left.
        """
        self._spec = spec
        planner = BesidePlanner if is_beside else EpochPlanner
        self._epochs = planner(spec, lease, dict(known), random)
        self._beside = Beside(self._epochs, now) if isinstance(self._epochs, BesidePlanner) else None
        self._epochs.silence_ns = silence_ns
        self._sign = sign
        self._key_servers = tuple(key_servers)
        self._control = ControlSchedule(now)
        self._ssrc: Ssrc = self._epochs.first_slot.ssrc
        self._sealer = Sealer(self._ssrc)
        self._cut = cut_of(spec)
        self._scrambling: Scrambling | None = None
        self._cname = f"{self._ssrc:08x}@sealcast"
        self._index = first_seq if first_seq is not None else random.below(FIRST_SEQ_LIMIT)
        self._timestamp = 0
        self._control_index = 0
        self._packets = 0
        self._bytes = 0
        self._key_changes = 0
        self._totals: dict[Epoch, Totals] = {}
        self._reports = ReportSchedule(now, report_ns)
        self._ended = False

    @property
    def ssrc(self) -> Ssrc:
        """The SSRC of this run."""
        return self._ssrc

    @property
    def lease(self) -> Lease:
        """Slots not consumed, to be kept across a restart."""
        return self._epochs.lease

    @property
    def is_on_air(self) -> bool:
        """Whether `seal` may be called."""
        return self._epochs.current is not None

    def state(self, now: int) -> SenderState:
        """Return a snapshot for people."""
        current, coming = self._epochs.current, self._epochs.next
        return SenderState(
            epoch=current.tek.key_id.epoch if current else None,
            next_epoch=coming.epoch if coming else None,
            remaining_ms=self._epochs.remaining_ms(now),
            extended=self._epochs.is_extended(now),
            packets=self._packets,
            bytes=self._bytes,
            key_changes=self._key_changes,
            roc=self._index >> 16,
        )

    # Inputs

    def handle_lease(self, slots: Sequence[RunSlot], now: int) -> None:
        """Take more run slots."""
        self._epochs.handle_lease(tuple(slots), now)

    def handle_published(self, epoch: Epoch, now: int) -> None:
        """Note that the key server holds the key of `epoch`."""
        self._epochs.handle_published(epoch, now)
        self._tell_of_change(now)

    def handle_generated(self, tek: Tek, now: int) -> None:
        """Take a key that the key server made."""
        self._epochs.handle_generated(tek, now)
        self._tell_of_change(now)

    def handle_consumed(self, epoch: Epoch, now: int) -> None:
        """Note that a slot is durably consumed."""
        self._epochs.handle_consumed(epoch)
        if not self.is_on_air:
            self._switch_if_due(now)

    def handle_reported(self, report: ReportAir, now: int, fence: FenceOrder | None = None) -> None:
        """Note that a report arrived; totals of epochs that are over need not be sent again.

        `fence` came with the answer: epochs below it go on air no more, but that which is.
        """
        self._epochs.handle_heard(now)
        if fence is not None and not self._ended:
            self._epochs.handle_fence(fence, now)
            self._tell_of_change(now)
        if report.ended == self._ended:
            self._reports.answered(now, is_last=self._ended)
        for totals in report.totals:
            if totals.epoch != report.epoch:
                self._totals.pop(totals.epoch, None)

    def handle_failed(self, action: Action, now: int) -> None:
        """Note that an action got no answer; it comes again."""
        if isinstance(action, ReportAir):
            self._epochs.handle_silent()
            self._report_again(action, now)
        elif isinstance(action, ShareKeys):
            self._share_again(now)
        else:
            self._epochs.handle_failed(action, now)

    def handle_refused(self, action: Action, now: int) -> None:
        """Note that the key server said no to an action; the session goes another way."""
        if isinstance(action, ReportAir):
            # A no is a word of the key server too: receivers can reach it, and the switch need not wait.
            self._epochs.handle_heard(now)
            self._report_again(action, now)
        elif isinstance(action, ShareKeys):
            self._share_again(now)
        else:
            self._epochs.handle_refused(action, now)

    def handle_hint(self, now: int) -> None:
        """Report now: an event said that the key server has an order for this sender."""
        if self.is_on_air and not self._ended:
            self._reports.ask(now)

    def handle_shared(self, shared: SharedKeys, now: int) -> None:
        """Take what other runs are on air under; to be used only by a session that is beside them."""
        if self._beside is not None and not self._ended:
            self._beside.handle_shared(shared, now)
            self._switch_if_due(now)

    def handle_overtaken(self, now: int) -> bool:
        """Whether this run goes on beside the one under a later epoch, whose key it asks for."""
        return self._beside is not None and self._beside.handle_overtaken(now)

    def handle_listening(self, *, is_listening: bool) -> None:
        """Note whether the key server's events are heard: then orders need not be asked for."""
        self._reports.listen(is_listening=is_listening)

    # The content

    def use_lifetime(self, lifetime_ms: int) -> None:
        """Let keys that go on air from now on live so long, in place of what the channel says."""
        self._epochs.use_lifetime(lifetime_ms)

    def expect_change(self, at_ns: int, now: int, lifetime_ms: int | None = None) -> None:
        """Expect other content at an instant: the key changes with it, in `change_now`."""
        self._epochs.expect_change(Boundary(at_ns, lifetime_ms), now)

    def change_now(self, now: int) -> bool:
        """Change the key with the content, if receivers have the next one; False if it has to wait."""
        is_due = self._epochs.change_now(now)
        self._switch_if_due(now)
        return is_due

    def give_up_change(self) -> None:
        """Let the next key go on air when it is ready, whatever the content does."""
        self._epochs.give_up_change()

    # Outputs

    def poll_action(self, now: int) -> Action | None:
        """Return the next action to carry out, or None. Also puts an epoch on air whose time has come."""
        self._switch_if_due(now)
        wants_word = not self._ended and self._epochs.wants_word(now)
        if self._reports.begin(now, is_waited_for=wants_word):
            return self._report(now)
        if self._ended:
            return None
        if self._beside is not None and self._beside.wants_keys(now):
            return ShareKeys(self._ssrc)
        return self._epochs.poll_action(now)

    def poll_control(self, now: int) -> list[bytes]:
        """Return the SEAL packets that leave now: none or one, more only if updates of a key are late."""
        if (coming := self._epochs.next) is not None:
            self._switch_if_due(now)
            rekeying = coming.rekeying
            if rekeying is not None and now >= rekeying.due_ns and (updates := self._updates(now)):
                return updates
        if not self._control.is_due(now) or not self.is_on_air or self._ended:
            return []
        return [self._seal_packet(now, bye=False)]

    def next_timeout(self, now: int) -> int:
        """Return when to call the outputs again, in monotonic ns."""
        times = [self._reports.next_timeout()]
        if not self._ended:
            times += [self._epochs.next_timeout(now), self._epochs.update_ns]
            times.append(self._control.next_timeout() if self.is_on_air else None)
            times.append(self._beside.next_timeout() if self._beside is not None else None)
        return max(now, min((time for time in times if time is not None), default=now + NS_PER_S))

    def told(self, now: int) -> Seal | None:
        """Return what a SEAL packet would say now, for receivers that ask; None while nothing is on air."""
        return self._content(now, bye=False, rekeys=()) if self.is_on_air and not self._ended else None

    def seal_batch(
        self,
        payloads: Sequence[Payload],
        timestamps: Sequence[int],
        now: int,
        *,
        payload_type: int = rtp.PAYLOAD_TYPE_MP2T,
        marker: bool = False,
        skipped: int = 0,
    ) -> SealedBatch:
        """Seal the first of `payloads`, as many as one batch holds, each with its timestamp.

        `skipped` packets are left out before the first. The batch is good until the next call. About 0.45 µs
        a packet beside the cipher. Raises LocalError before the first epoch is on air, and after the end.
        """
        if self._epochs.next is not None:
            self._switch_if_due(now)
        current = self._epochs.current
        if current is None or self._ended:
            raise LocalError("nothing can be sealed before the first key is on air, or after the end")
        index = self._index + skipped
        # Whatever happens from here on, no index is used a second time.
        self._index = min(index + len(payloads), INDEX_LIMIT)
        second, scrambling = payload_type | marker << 7, self._scrambling
        if scrambling is None:
            batch = self._sealer.seal(current.rtp, current.mki, index, payloads, timestamps, second=second)
            size_bytes = len(batch.data) - batch.count * srtp.PACKET_OVERHEAD_BYTES
        else:
            batch = scrambling.scramble(index, payloads, timestamps, now, second=second)
            size_bytes = scrambling.payload_bytes(batch)
        count = batch.count
        self._index = index + count
        self._timestamp = timestamps[count - 1]
        # Written out here, since it runs for every batch, and a batch of a slow stream is one packet.
        current.packets += count
        current.bytes += size_bytes
        self._packets += count
        self._bytes += size_bytes
        self._control.note_data(count, size_bytes)
        return batch if self._cut is None else self._cut.trim(batch)

    def end(self, now: int) -> list[bytes]:
        """Return the three BYE packets; a last report becomes the next action."""
        if not self.is_on_air or self._ended:
            self._ended = True
            return []
        self._ended = True
        self._reports.restart(now)
        return [self._seal_packet(now, bye=True) for _ in range(BURST)]

    # Below this line nobody calls from outside.

    def _switch_if_due(self, now: int) -> None:
        if self._ended or not self._epochs.is_switch_due(now):
            return
        before = self._epochs.switch(now)
        self._begin_scrambling(now)
        if before is not None and not before.is_shared:
            self._totals[before.tek.key_id.epoch] = _totals(before, now)
        self._key_changes += before is not None
        self._control.start_burst(now)
        self._reports.ask(now)

    def _begin_scrambling(self, now: int) -> None:
        """Have the patterns of the epoch that went on air, if this is such a channel."""
        if self._scrambling is not None:
            self._scrambling.erase()
        if self._spec.patterns is not None:
            is_keyed = self._spec.framing is Framing.KEYED
            tek, policy = self._current().tek, self._spec.patterns
            self._scrambling = Scrambling(tek, policy, self._ssrc, now, is_keyed=is_keyed)

    def _tell_of_change(self, now: int) -> None:
        """Have receivers and key server hear at once of a change that a fence brought forward."""
        if self._epochs.pop_news() and self.is_on_air and not self._ended:
            self._control.start_burst(now)
            self._reports.ask(now)

    def _updates(self, now: int) -> list[bytes]:
        """Return the SEAL packets that carry an update now: it is sent however slow the stream is."""
        packets = []
        while not self._ended and (rekeys := self._epochs.take_update(now)):
            packets.append(self._seal_packet(now, bye=False, rekeys=rekeys))
        return packets

    def _seal_packet(self, now: int, *, bye: bool, rekeys: tuple[bytes, ...] = ()) -> bytes:
        current = self._current()
        self._control_index += 1
        counts = SenderCounts(self._timestamp, self._packets, self._bytes)
        word = srtcp.index_word(self._control_index)
        compound = build_seal(
            self._content(now, bye=bye, rekeys=rekeys), counts, self._cname, word, self._sign
        )
        packet = srtcp.seal_control(current.rtcp, compound, self._ssrc, self._control_index, current.mki)
        self._control.note_control(len(packet), now)
        return packet

    def _content(self, now: int, *, bye: bool, rekeys: tuple[bytes, ...]) -> Seal:
        patterns = None if self._scrambling is None else self._scrambling.state(now)
        told = seal_content(self._epochs, self._spec, self._highest(), now, is_bye=bye)
        return replace(told, key_servers=self._key_servers, patterns=patterns, rekeys=rekeys)

    def _share_again(self, now: int) -> None:
        if self._beside is not None:
            self._beside.handle_failed(now)

    def _report_again(self, report: ReportAir, now: int) -> None:
        if report.ended == self._ended:
            self._reports.failed(now)

    def _report(self, now: int) -> ReportAir:
        current = self._current()
        highest = self._highest()
        own = () if current.is_shared else (_totals(current, now),)
        totals = (*self._totals.values(), *own)
        return ReportAir(
            ssrc=self._ssrc,
            epoch=current.tek.key_id.epoch,
            cause=current.cause,
            remaining_ms=self._epochs.remaining_ms(now),
            lifetime_ms=self._epochs.lifetime_ms,
            extended=self._epochs.is_extended(now),
            roc=highest >> 16,
            seq=highest & 0xFFFF,
            totals=totals,
            ended=self._ended,
            shared=current.is_shared,
        )

    def _highest(self) -> PacketIndex:
        """Index of the last packet sent; of the first to be sent while there is none."""
        return PacketIndex(self._index - 1 if self._packets else self._index)

    def _current(self) -> AirEpoch:
        current = self._epochs.current
        if current is None:
            raise LocalError("no epoch is on air")
        return current


def _totals(epoch: AirEpoch, now: int) -> Totals:
    duration_ms = max(0, now - epoch.started_ns) // NS_PER_MS
    return Totals(epoch.tek.key_id.epoch, duration_ms, epoch.packets, epoch.bytes)
