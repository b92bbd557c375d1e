"""Tests of probe.session: from datagrams to a report, in simulated time."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from probe.streams import CURRENT, clear, seal_packet, sealed
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.probe.evidence import Protection
from sealcast.probe.report import ProbeReport
from sealcast.probe.session import STREAMS_MAX, ProbeSession


def report_of(session: ProbeSession, now: int) -> ProbeReport:
    """Return a session's report."""
    return session.report(target="239.1.2.3:5004", interface="lo", listened_ns=now, now=now)


def test_a_sealed_stream_is_described() -> None:
    """Rate, loss, key IDs across a change, and what SEAL says as of the report's instant."""
    session = ProbeSession()
    first = sealed(1_000)
    second = sealed(1_001, first=1_100, key_id=replace(CURRENT, epoch=Epoch(4)))
    packets = first[:500] + first[510:] + second
    for number, packet in enumerate(packets):
        session.handle_data([packet], number * NS_PER_MS)
    session.handle_control(seal_packet(1, seq=2_100), 1_990 * NS_PER_MS)
    report = report_of(session, 2_490 * NS_PER_MS)
    [stream] = report.streams
    assert (report.protection, report.suite) == (Protection.ENCRYPTED, "AES-GCM, 128 or 256 bits")
    assert (stream.ssrc, stream.payload_types, stream.lost, stream.restarts) == ("5ea1ca57", (33,), 10, 0)
    assert [(key.channel, key.epoch, key.packets) for key in report.key_ids] == [(7, 3, 990), (7, 4, 1_001)]
    assert round(report.packets_per_s or 0) == 1_001
    assert round(report.mbit_per_s or 0, 1) == 10.8
    assert (report.seal.remaining_ms, report.seal.next_epoch, report.seal.switch_in_ms) == (3_500, 4, 3_500)
    assert report.seal.key_servers == ("https://keys.example:8443",)
    assert (report.seal.sensible, report.seal.oddities) == (1, {})
    assert not report.verified


def test_a_clear_stream_has_no_key_ids() -> None:
    """Packets in the clear end in the same bytes too; they are not taken for key IDs."""
    session = ProbeSession()
    session.handle_data(clear(50) + clear(50, with_rtp=False), 0)
    report = report_of(session, NS_PER_S)
    assert (report.protection, report.key_ids, report.not_rtp) == (Protection.CLEAR, (), 50)
    assert report.packets_per_s is None


def test_a_forged_seal_is_counted_as_odd() -> None:
    """A packet with another channel's key ID changes nothing of what is reported."""
    session = ProbeSession()
    session.handle_data(sealed(100), 0)
    session.handle_control(seal_packet(1), 0)
    forged = replace(CURRENT, epoch=Epoch(900))
    session.handle_control(seal_packet(2, current=forged, next=None, window=None, seq=30_000), 0)
    seal = report_of(session, 0).seal
    assert (seal.packets, seal.sensible) == (2, 1)
    assert set(seal.oddities) == {
        "has a highest SEQ far from the data's",
        "names another key than the data packets",
        "has counters (ROC, SEQ) that jump",
    }
    assert seal.current is not None
    assert seal.current.epoch == 3


def test_nothing_heard() -> None:
    """Silence is reported as such."""
    report = report_of(ProbeSession(), NS_PER_S)
    assert not report.heard
    assert report.protection is Protection.NOTHING


def test_a_flood_of_ssrcs_costs_little() -> None:
    """Invented SSRCs are counted together once the table is full."""
    session = ProbeSession()
    for ssrc in range(500):
        session.handle_data(sealed(1, ssrc=ssrc), 0)
    report = report_of(session, 0)
    assert (len(report.streams), report.other_streams) == (STREAMS_MAX, 500 - STREAMS_MAX)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=30))
def test_any_datagrams_end_in_a_report(datagrams: list[tuple[bool, bytes]]) -> None:
    """Whatever arrives on either port, a report comes of it."""
    session = ProbeSession()
    for is_data, datagram in datagrams:
        if is_data:
            session.handle_data([datagram], 0)
        else:
            session.handle_control(datagram, 0)
    assert report_of(session, 0).packets == sum(is_data for is_data, _ in datagrams)
