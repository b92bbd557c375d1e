"""Owns a sender's memory of its run slots across restarts: one file per channel, one process at a time.

The file holds the channel, the slots not consumed, and the keys made for those slots, each sealed to the
sender's own key. It is replaced in one step and synced before `consume` returns, so no slot is used twice.
"""

import fcntl
import hashlib
import os
from pathlib import Path

import msgspec

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import LocalError, SealcastError, UsageError
from sealcast.core.ids import U32_MAX, Epoch, Ssrc
from sealcast.device.files import PRIVATE_MODE, read_private
from sealcast.device.vault import Credential
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek
from sealcast.messages import jose
from sealcast.messages.answers import KeyMaterial, RunSlotData
from sealcast.messages.channels import ChannelData, channel_data, channel_spec
from sealcast.messages.encoding import decode, encode
from sealcast.messages.material import key_material, read_key

NO_RECORD = Epoch(U32_MAX)
"""`first_unused` of a sender that knows of no slot: the key server burns all it ever had."""


FINGERPRINT_CHARS = 16


class SlotFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds; `first_unused` is the lowest epoch that may still be used."""

    operator: str
    sender: str
    channel: ChannelData
    first_unused: int
    slots: list[RunSlotData]
    published: list[str]


class SlotStore:
    """The slots of one sender on one channel, held under a lock from `open` to `close`."""

    def __init__(self, folder: Path, credential: Credential, channel: str) -> None:
        if not channel.replace("-", "").replace("_", "").replace(".", "").isalnum() or channel.isdigit():
            raise UsageError(f"give the channel's name, not {channel!r}: run slots are kept under it")
        # Another key pair under the same name, or another operator, is another sender with other slots.
        fingerprint = hashlib.sha256(credential.signing.raw_public()).hexdigest()[:FINGERPRINT_CHARS]
        self._path = folder / f"{channel}.{fingerprint}.json"
        self._credential = credential
        self._lock = -1
        self._spec: ChannelSpec | None = None
        self._first_unused = NO_RECORD
        self._known: dict[Epoch, Tek] = {}
        self.lease = Lease()

    @property
    def spec(self) -> ChannelSpec | None:
        """The channel as last heard, None before the first lease."""
        return self._spec

    @property
    def first_unused(self) -> Epoch:
        """The lowest epoch that may still be used."""
        return self._first_unused

    @property
    def held(self) -> list[int]:
        """The epochs of the slots on record: the key server gives back no others that it leased to us."""
        return [slot.epoch for slot in self.lease.slots]

    @property
    def known(self) -> dict[Epoch, Tek]:
        """Keys of slots not consumed, made and perhaps published; copies, for the caller to erase."""
        return {epoch: tek.copy() for epoch, tek in self._known.items()}

    def open(self) -> None:
        """Lock and read; raises UsageError if another process sends this channel, or the file is damaged."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_path = self._path.with_suffix(".lock")
            self._lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise UsageError(
                f"another process is sending this channel with {self._path.parent};"
                " end it, or give another state folder"
            ) from error
        except OSError as error:
            raise UsageError(f"cannot keep run slots in {self._path.parent}: {error.strerror}") from error
        if self._path.exists():
            self._read()

    def close(self) -> None:
        """Let go of the lock; may be called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def take_lease(self, spec: ChannelSpec, slots: tuple[RunSlot, ...], published: list[KeyMaterial]) -> None:
        """Record a lease from the key server, which knows best which slots are free."""
        self._spec = spec
        self.lease = Lease(tuple(slot for slot in slots if slot.epoch >= self._floor()))
        self._first_unused = self.lease.slots[0].epoch if self.lease.slots else self._first_unused
        for material in published:
            self._learn(read_key(material))
        self._forget_below(self._floor())
        self._write()

    def extend_lease(self, slots: tuple[RunSlot, ...]) -> None:
        """Record more slots; those consumed while the answer was under way do not come back."""
        self.lease = self.lease.extend(tuple(slot for slot in slots if slot.epoch >= self._floor()))
        self._write()

    def remember_key(self, tek: Tek) -> None:
        """Keep a key that receivers may get, so that a restart goes on under it; not one that was used."""
        if tek.key_id.epoch >= self._floor():
            self._learn(tek.copy())
            self._write()

    def consume(self, epoch: Epoch) -> None:
        """Record durably that `epoch`, and every slot before it, is used."""
        self.lease = self.lease.consume(epoch)
        self._first_unused = Epoch(epoch + 1)
        self._forget_below(self._first_unused)
        self._write()

    def _floor(self) -> int:
        return 0 if self._first_unused == NO_RECORD else self._first_unused

    def _read(self) -> None:
        try:
            record = decode(read_private(self._path), SlotFile)
            self._spec = channel_spec(record.channel)
            self._first_unused = Epoch(record.first_unused)
            self.lease = Lease(tuple(RunSlot(Ssrc(s.ssrc), Epoch(s.epoch)) for s in record.slots))
            for sealed in record.published:
                opened = jose.unseal(sealed, self._credential.kek, typ=jose.TYP_SEALED_KEY)
                self._learn(read_key(decode(opened, KeyMaterial)))
        except SealcastError as error:
            raise UsageError(
                f"{self._path} is not usable ({error}); move it away to start with new slots"
            ) from error

    def _learn(self, tek: Tek) -> None:
        before = self._known.get(tek.key_id.epoch)
        self._known[tek.key_id.epoch] = tek
        if before is not None:
            before.erase()

    def _forget_below(self, epoch: int) -> None:
        """Erase the keys of slots that are used: with the next write they are in the file no more."""
        for used in [known for known in self._known if known < epoch]:
            self._known.pop(used).erase()

    def _write(self) -> None:
        if self._lock < 0:
            # A write that a thread began late would undo what another process has recorded since.
            raise LocalError(f"{self._path} is closed")
        if self._spec is None:
            return
        record = SlotFile(
            operator=self._credential.operator,
            sender=self._credential.id,
            channel=channel_data(self._spec),
            first_unused=self._first_unused,
            slots=[RunSlotData(ssrc=slot.ssrc, epoch=slot.epoch) for slot in self.lease.slots],
            published=[self._seal(tek) for tek in self._known.values()],
        )
        _replace(self._path, encode(record))

    def _seal(self, tek: Tek) -> str:
        material = encode(key_material(tek))
        return jose.seal(material, self._credential.kek, kid=self._credential.id, typ=jose.TYP_SEALED_KEY)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old or the new one, and the new one is on the disk."""
    fresh = path.with_suffix(".new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
