"""Owns the checks on what a channel says of scrambling, and of streams that carry no key ID."""

import ipaddress
import re

from sealcast.core.channel import Framing, Suite
from sealcast.core.errors import FormatError, UsageError
from sealcast.core.scrambling import PatternPolicy
from sealcast.wire.patterns import PATTERN_BITS_MAX, PATTERN_BITS_MIN, Content, Rule

SCRAMBLE_WARNING = (
    "scrambled, not encrypted: one packet gives its pattern away, and anybody can change packets; "
    "aes-128-gcm protects, and takes less time"
)
"""What everybody is told who adds, sends or receives a scrambled channel."""

PORT_MAX = 65_535
DEFAULT_CONTENT = "film"
"""What a scrambled channel has that says nothing of its patterns."""

IPV6 = 6
_NAME = re.compile(r"(?=.{1,253}\Z)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z_-][A-Za-z0-9_-]{0,62}\.?\Z", re.ASCII)
"""A host name whose last label does not begin with a digit, so that a mistyped address is not one."""

AFTER_MS_MIN = 100
"""A pattern lasts as long as a receiver needs to hear of it."""


def check_scrambling(
    patterns: str, suite: Suite, framing: Framing, *, ask: str | None, is_confidential: bool
) -> PatternPolicy | None:
    """Return the policy of a scrambled channel, None for another; raises UsageError naming what would do."""
    policy = _policy(patterns, suite, is_confidential=is_confidential)
    if framing is not Framing.KEYED and ask is None:
        raise UsageError("packets without key ID need the sender's endpoint: give --ask HOST:PORT")
    if ask is not None:
        _check_ask(ask)
    if framing is Framing.KEYED or policy is None:
        if framing is Framing.UDP:
            raise UsageError("plain UDP has no place for a tag: --framing udp goes with --suite scramble")
        return policy
    if policy.after_bytes is not None or policy.after_packets is not None:
        raise UsageError("without key ID in the packet, patterns change by time alone")
    if framing is Framing.UDP and Rule.parse(policy.rule).step_bits:
        raise UsageError("plain UDP has no sequence numbers: a rule with a step does not work")
    return policy


def default_policy(content: str, rule: str = "single") -> PatternPolicy:
    """Return how patterns are made for a kind of content (`news`, `film` or `data`) unless told otherwise.

    Raises UsageError for another kind. The rule is checked by `check_scrambling`.
    """
    kinds = {each.name.lower(): each for each in Content}
    if content not in kinds:
        raise UsageError(f"no kind of content: {content[:40]!r}; there are {', '.join(kinds)}")
    kind = kinds[content]
    return PatternPolicy(rule, kind.pattern_bits, after_ms=kind.change_ms)


def _policy(patterns: str, suite: Suite, *, is_confidential: bool) -> PatternPolicy | None:
    if suite is not Suite.SCRAMBLE:
        if patterns:
            raise UsageError(f"patterns are for the suite scramble, not for {suite.value}")
        return None
    if is_confidential:
        raise UsageError(
            "scrambling hides nothing from anybody who looks: a confidential channel takes aes-128-gcm"
        )
    policy = PatternPolicy.parse(patterns) if patterns else default_policy(DEFAULT_CONTENT)
    try:
        rule = Rule.parse(policy.rule)
    except FormatError as error:
        raise UsageError(f"{error}; or give a name: single, inverted, two-times") from error
    if any(term.source != "a" for term in rule.terms):
        raise UsageError("the patterns of a channel come from one key server, source a")
    if not PATTERN_BITS_MIN <= policy.bits <= PATTERN_BITS_MAX:
        raise UsageError(f"a pattern has {PATTERN_BITS_MIN} to {PATTERN_BITS_MAX} bits")
    if policy.after_ms is not None and policy.after_ms < AFTER_MS_MIN:
        raise UsageError(f"a pattern lasts {AFTER_MS_MIN} ms at least")
    return policy


def _check_ask(ask: str) -> None:
    """Raise UsageError unless a sender can listen there, and receivers send there."""
    host, _, port = ask.rpartition(":")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) <= PORT_MAX or not _is_host(host):
        raise UsageError(f"no endpoint of a sender: {ask[:80]!r}; write its HOST:PORT, IPv6 in brackets")


def _is_host(host: str) -> bool:
    """Whether this is a name, or the address of one host."""
    is_v6 = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if is_v6 else host)
    except ValueError:
        return bool(_NAME.fullmatch(host))
    return is_v6 == (address.version == IPV6) and not (address.is_multicast or address.is_unspecified)
