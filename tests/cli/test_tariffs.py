"""Shows how an operator says what channels cost and who pays, command by command, and what is refused."""

import json
from pathlib import Path

from cli.terminal import Terminal, Typist

STEPS = """name = "steps"
currency = "JPY"
channels = ["news"]
from = "2100-01-02T00:00:00Z"
cap = "5000"

[[prices]]
name = "Data"
free = "5 GB"
steps = [
  { price = "20 per GB", up_to = "100 GB" },
  { price = "10 per GB" },
]
"""
BASIC = ("--currency", "EUR", "--price", "Base: 9.99 per period", "--price", "Data: 0.10 per GB, 5 GB free")
FROM = ("--from", "2100-01-01")


def test_tariffs_and_customers(operator: Terminal, type_at: Typist) -> None:
    """Add, list, show, assign, and set customers; every line says what was done."""

    def say(*arguments: str) -> str:
        result = type_at(operator, *arguments)
        assert result.status == 0, result.err
        return result.out

    say("channel", "add", "news", "--group", "239.255.11.1:5004")
    say("channel", "add", "sport", "--group", "239.255.11.2:5004")
    say("registry", "add", "TV-1", "--output", "TV-1.vault")

    tariff = ("billing", "tariff")
    out = say(
        *tariff, "add", "basic", *BASIC, "--tax", "19", "--channel", "news", "--channel", "sport", *FROM
    )
    assert out == "tariff basic is valid from 2100-01-01T00:00:00Z on for news, sport\n"
    cheaper = ("--currency", "EUR", "--price", "Base: 8.99 per period", "--from", "2100-02-01T00:00+01:00")
    out = say(*tariff, "add", "basic", *cheaper)
    assert out == "tariff basic is valid from 2100-01-31T23:00:00Z on, one of 2 versions\n"
    shown = say(*tariff, "show", "basic").splitlines()
    assert shown == [
        "tariff basic, in EUR",
        "from 2100-01-01T00:00:00Z",
        "  Base: 9.99 per period",
        "  Data: 0.1 per GB, 5 GB free",
        "  tax 19 % on top",
        "from 2100-01-31T23:00:00Z",
        "  Base: 8.99 per period",
        "assigned to news from 2100-01-01T00:00:00Z",
        "assigned to sport from 2100-01-01T00:00:00Z",
    ]
    out = say(*tariff, "assign", "news", "basic", "--device", "TV-1", "--from", "2100-01-05")
    assert out == "TV-1 on news has tariff basic from 2100-01-05T00:00:00Z on\n"
    out = say(*tariff, "unassign", "news", "--device", "TV-1", "--from", "2100-01-06")
    assert out == "TV-1 on news has the tariff of the channel from 2100-01-06T00:00:00Z on\n"
    out = say(*tariff, "unassign", "sport", "--from", "2100-01-07")
    assert out == "sport has no tariff from 2100-01-07T00:00:00Z on\n"
    table = [line.split() for line in say(*tariff, "assignments", "--device", "TV-1").splitlines()]
    assert table[1:] == [
        ["news", "TV-1", "basic", "2100-01-05T00:00:00Z"],
        ["news", "TV-1", "none", "2100-01-06T00:00:00Z"],
    ]
    listed = json.loads(say(*tariff, "list", "--json"))["tariffs"]
    assert [(each["name"], len(each["versions"])) for each in listed] == [("basic", 2)]
    assert "Base: 8.99 per period" in say(*tariff, "list")

    customer = ("billing", "customer")
    out = say(*customer, "set", "C-7", "--name", "Seaview", "--device", "TV-1", "--zone", "Asia/Tokyo")
    assert out == "C-7 (Seaview) pays for 1 device, monthly from day 1 on, by the clocks of Asia/Tokyo\n"
    assert say(*customer, "set", "C-7", "--cycle", "closing").startswith(
        "C-7 (Seaview) pays for 1 device, once, when its subscriptions end"
    )
    assert say(*customer, "show", "C-7").splitlines()[1:] == ["  TV-1"]
    rows = [line.split() for line in say(*customer, "list").splitlines()]
    assert rows[1] == ["C-7", "Seaview", "closing", "Asia/Tokyo", "1", "1"]
    made = json.loads(say(*customer, "show", "C-7", "--json"))
    assert (made["id"], made["cycle"], made["devices"]) == ("C-7", "closing", ["TV-1"])


def test_a_file_goes_in_and_comes_out(operator: Terminal, type_at: Typist) -> None:
    """What `show --toml` prints makes the same tariff again, and is what its file said."""
    type_at(operator, "channel", "add", "news", "--group", "239.255.11.1:5004")
    path = operator.folder / "steps.toml"
    path.write_text(STEPS)
    added = type_at(operator, "billing", "tariff", "add", "--file", "steps.toml")
    assert added.out == "tariff steps is valid from 2100-01-02T00:00:00Z on for news\n", added.err
    shown = type_at(operator, "billing", "tariff", "show", "steps", "--toml").out
    assert shown.partition("\n")[2] == STEPS
    path.write_text(shown)
    again = type_at(
        operator, "billing", "tariff", "add", "copy", "--file", "steps.toml", "--from", "2100-03-01"
    )
    assert again.out == "tariff copy is valid from 2100-03-01T00:00:00Z on for news\n"
    copy = json.loads(type_at(operator, "billing", "tariff", "show", "copy", "--json").out)["tariff"]
    first = json.loads(type_at(operator, "billing", "tariff", "show", "steps", "--json").out)["tariff"]
    assert copy["versions"][0]["terms"] == first["versions"][0]["terms"]


def test_a_server_says_no(operator: Terminal, type_at: Typist) -> None:
    """What the key server refuses ends with status 4 and its own line; nothing is added."""
    type_at(operator, "channel", "add", "news", "--group", "239.255.11.1:5004")
    type_at(operator, "billing", "tariff", "add", "once", *BASIC, "--channel", "news", "--from", "2101-01-01")
    before = type_at(operator, "billing", "tariff", "list", "--json").out
    basic = ("billing", "tariff", "add")
    cases = [
        ((*basic, "lonely", *BASIC), "a new tariff needs a channel, else it would apply to nobody"),
        ((*basic, "new", *BASIC, "--channel", "nowhere"), "there is no channel 'nowhere'; see: channel list"),
        (
            (*basic, "once", *BASIC, "--from", "2101-01-01"),
            "tariff 'once': two versions begin at one instant, or are not in order",
        ),
        (
            (*basic, "once", *BASIC, "--from", "2100-01-01", "--until", "2101-02-01"),
            "tariff 'once': the validities of two versions overlap",
        ),
        (
            (*basic, "once", "--currency", "JPY", "--price", "A: 1 per period", "--from", "2102-01-01"),
            "tariff 'once' is in EUR; make another one for JPY",
        ),
        (
            (*basic, "new", *BASIC, "--channel", "news", "--from", "2101-01-01"),
            "news has another tariff from 2101-01-01T00:00:00Z on; take another instant",
        ),
        (
            ("billing", "tariff", "assign", "news", "none"),
            "there is no tariff 'none'; see: billing tariff list",
        ),
        (
            ("billing", "customer", "set", "C-1", "--device", "TV-99"),
            "no device 'TV-99' is registered; see: registry list",
        ),
        (
            ("billing", "customer", "set", "C-1", "--zone", "Europe/Atlantis"),
            "no time zone is called 'Europe/Atlantis'; write for instance Asia/Tokyo",
        ),
    ]
    for arguments, line in cases:
        result = type_at(operator, *arguments)
        assert (result.status, result.complaint) == (4, line), arguments
    assert type_at(operator, "billing", "tariff", "list", "--json").out == before
    assert type_at(operator, "billing", "customer", "show", "C-1").status == 4


def test_what_is_no_tariff_is_not_even_asked(tmp_path: Path, type_at: Typist) -> None:
    """What cannot be meant ends with status 2 and one line, without a question to the key server."""
    site = Terminal(tmp_path)
    cases = [
        (("--currency", "EUR"), "give a name, --currency and at least one --price; or --file"),
        (("x", "--price", "A: 1 per GB"), "give a name, --currency and at least one --price; or --file"),
        (("x", "--currency", "EUX", "--price", "A: 1 per GB"), "no currency has the code 'EUX'; write"),
        (("x", "--currency", "EUR", "--price", "A: -1 per GB"), "'-1 per GB': a price is 0 or more"),
        (("x", "--currency", "EUR", "--price", "A: 1 per byte"), "more money than there is"),
        (("x", "--currency", "EUR", "--price", "tax: 1 per GB"), "a line of every invoice has that name"),
        (("x", *BASIC, "--minimum", "5", "--cap", "4"), "a minimum lies between 0 and the cap"),
        (("x", *BASIC, "--minimum", "-5"), "a minimum lies between 0 and the cap"),
        (("x", *BASIC, "--tax", "101"), "a tax rate lies between 0 and 100 %"),
        (("x", *BASIC, "--tax", "much"), "not per cent: 'much'"),
        (("x", *BASIC, "--from", "2026-03-01T00:00"), "names no time zone; write for instance"),
        (("x", *BASIC, "--from", "tomorrow"), "not an instant: 'tomorrow'"),
        (("x", *BASIC, *FROM, "--until", "2099-01-01"), "a tariff's validity ends after it begins"),
        (("--file", "none.toml"), "cannot read none.toml: No such file or directory"),
        (("--file", "none.toml", "--tax", "19"), "beside --file only a name"),
    ]
    for arguments, line in cases:
        result = type_at(site, "billing", "tariff", "add", *arguments)
        assert result.status == 2, (arguments, result.err)
        assert line in result.complaint
    result = type_at(site, "billing", "tariff", "show", "x", "--at", "2026-01-01")
    assert (result.status, result.complaint[:17]) == (2, "--at is for --tom")
    (tmp_path / "nameless.toml").write_text('currency = "EUR"\n[[prices]]\nname = "A"\nprice = "1 per GB"\n')
    result = type_at(site, "billing", "tariff", "add", "--file", "nameless.toml")
    assert result.complaint == "nameless.toml has no name; write one there, or before --file"
