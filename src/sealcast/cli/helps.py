"""Owns how help texts look: examples below each command, brackets kept out of the markup's way."""


def examples(*lines: str) -> str:
    """Return the epilog that shows `lines` as commands to type."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  {escape(line)}" for line in lines)])


def escape(text: str) -> str:
    """Return `text` so that its brackets are not taken for markup."""
    return text.replace("[", "\\[")
