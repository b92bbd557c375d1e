"""Shows the content catalogue at the command line, and what `send --content` makes of it."""

import json
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist


@pytest.fixture
def studio(tmp_path: Path) -> Terminal:
    """Return a terminal on a data server with one file."""
    (tmp_path / "film.ts").write_bytes(b"G" * 188)
    (tmp_path / "sealcast.toml").write_text("")
    return Terminal(tmp_path)


def test_catalogue(studio: Terminal, type_at: Typist) -> None:
    """An item is added, listed, shown and removed; its file stays."""
    file = studio.folder / "film.ts"
    assert json.loads(type_at(studio, "content", "list", "--json").out) == {"content": []}
    added = type_at(
        studio, "content", "add", "film-7", "--title", "The Film", "--file", "film.ts", "--channel", "cinema"
    )
    assert added.out == "film-7 is in the catalogue, sent with: sealcast send cinema --content film-7\n"
    listed = json.loads(type_at(studio, "content", "list", "--json").out)["content"]
    assert [(each["id"], each["title"], each["file"]) for each in listed] == [
        ("film-7", "The Film", str(file))
    ]
    assert "The Film" in type_at(studio, "content", "show", "film-7").out
    assert type_at(studio, "content", "remove", "film-7").status == 0
    assert file.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("send", "cinema", "--content", "gone"), "there is no content 'gone'; see: sealcast content list"),
        (("send", "news", "--content", "film-7"), "content film-7 is for the channel cinema, not news"),
        (("send", "cinema", "--content", "film-7", "--input", "x"), "give --input or --content, not both"),
        (
            ("content", "add", "film-7", "--title", "x", "--file", "film.ts"),
            "there is content film-7 already",
        ),
        (("content", "add", "b", "--title", "x", "--file", "no.ts"), "cannot read no.ts"),
        (("send", "--content", "data"), "content data is for no channel"),
    ],
)
def test_mistakes(studio: Terminal, type_at: Typist, arguments: tuple[str, ...], complaint: str) -> None:
    """What does not fit is one line with what to do, status 2."""
    film = ("--title", "The Film", "--file", "film.ts")
    assert type_at(studio, "content", "add", "film-7", *film, "--channel", "cinema").status == 0
    assert type_at(studio, "content", "add", "data", *film, "--rate", "5M").status == 0
    result = type_at(studio, *arguments)
    assert result.status == 2
    assert result.complaint.startswith(complaint)
