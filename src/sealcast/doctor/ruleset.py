"""Owns reading `nft --json list ruleset` into plain values; what it does not know becomes "unknown".

```
{"nftables": [{"chain": {family, table, name, hook?, prio?, policy?}},
              {"rule": {family, table, chain, expr: [{"match": {op, left, right}}, …, {"drop": null}]}}, …]}
```
"""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from sealcast.core.errors import FormatError


class Verdict(StrEnum):
    """What a rule does with a packet that it matches."""

    GO_ON = "continue"
    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Match:
    """One condition: `key` as nft writes it (`ip daddr`), None where we cannot tell what it asks.

    `values` are texts: `10.0.0.1`, a prefix `10.0.0.0/8`, a range `1-5`; None where it is something else.
    """

    key: str | None
    values: tuple[str, ...] | None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """The conditions of a rule, all of which must hold, and its verdict; `target` of a jump."""

    matches: tuple[Match, ...]
    verdict: Verdict
    target: str = ""


@dataclass(slots=True)
class Chain:
    """A chain in its order of rules; `hook` is empty for one that is only jumped to."""

    family: str
    table: str
    name: str
    hook: str = ""
    priority: int = 0
    drops_by_default: bool = False
    rules: list[Rule] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class _Chain(msgspec.Struct):
    family: str
    table: str
    name: str
    hook: str = ""
    prio: int | str = 0
    policy: str = "accept"


class _Rule(msgspec.Struct):
    family: str
    table: str
    chain: str
    expr: list[dict[str, msgspec.Raw]] = []


class _Entry(msgspec.Struct):
    chain: _Chain | None = None
    rule: _Rule | None = None


class _Ruleset(msgspec.Struct):
    nftables: list[_Entry]


class _Condition(msgspec.Struct):
    left: dict[str, msgspec.Raw] | str
    right: object
    op: str = "=="


class _Field(msgspec.Struct):
    key: str = ""
    protocol: str = ""
    field: str = ""


class _Target(msgspec.Struct):
    target: str


def read_ruleset(text: bytes) -> list[Chain]:
    """Return the chains with their rules; raises FormatError if it is not nft's JSON."""
    try:
        entries = msgspec.json.decode(text, type=_Ruleset).nftables
    except msgspec.MsgspecError as error:
        raise FormatError("not what nft --json prints") from error
    chains: dict[tuple[str, str, str], Chain] = {}
    for entry in entries:
        if (chain := entry.chain) is not None:
            priority = chain.prio if isinstance(chain.prio, int) else 0
            made = Chain(chain.family, chain.table, chain.name, chain.hook, priority, chain.policy == "drop")
            chains[chain.family, chain.table, chain.name] = made
        if (rule := entry.rule) is not None and (rule.family, rule.table, rule.chain) in chains:
            chains[rule.family, rule.table, rule.chain].rules.append(_read_rule(rule.expr))
    return list(chains.values())


def _read_rule(expressions: list[dict[str, msgspec.Raw]]) -> Rule:
    matches: list[Match] = []
    for expression in expressions:
        for kind, raw in expression.items():
            if kind == "match":
                matches.append(_read_match(raw))
            elif kind in {"accept", "drop", "return"}:
                return Rule(tuple(matches), Verdict(kind))
            elif kind == "reject":
                return Rule(tuple(matches), Verdict.DROP)
            elif kind in {"jump", "goto"}:
                return Rule(tuple(matches), Verdict(kind), msgspec.json.decode(raw, type=_Target).target)
            elif kind not in _HARMLESS:
                # It may be a condition (xt, limit) or a verdict of its own (vmap, queue).
                matches.append(Match(None, None))
                if kind in _DECIDES:
                    return Rule(tuple(matches), Verdict.UNKNOWN)
    return Rule(tuple(matches), Verdict.GO_ON)


_HARMLESS = frozenset({"counter", "log", "mangle", "notrack", "meter", "comment"})
_DECIDES = frozenset({"vmap", "queue", "redirect", "dnat", "tproxy"})


def _read_match(raw: msgspec.Raw) -> Match:
    try:
        condition = msgspec.json.decode(raw, type=_Condition)
        left = {} if isinstance(condition.left, str) else condition.left
        key = None
        for kind, inner in left.items():
            part = msgspec.json.decode(inner, type=_Field) if kind in {"meta", "payload", "ct"} else _Field()
            key = f"{part.protocol} {part.field}" if kind == "payload" else f"{kind} {part.key}"
            key = key if part.key or part.field else None
    except msgspec.MsgspecError:
        return Match(None, None)
    if condition.op not in {"==", "!=", "in"}:
        return Match(key, None)
    return Match(key, _read_values(condition.right), negated=condition.op == "!=")


def _read_values(right: object) -> tuple[str, ...] | None:
    """Return the texts of a set, list or single value; None if any part is not to be read."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    parts = right if isinstance(right, list) else [right]
    values: list[str] = []
    for part in parts:
        value = _read_value(part)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


def _read_value(part: object) -> str | None:
    match part:
        case str() if not part.startswith("@"):
            return part
        case int():
            return str(part)
        case {"prefix": {"addr": str() as address, "len": int() as length}}:
            return f"{address}/{length}"
        case {"range": [str() | int() as low, str() | int() as high]}:
            return f"{low}-{high}"
    return None
