"""The demonstration: a test card, the programs that send and receive it, and a verdict."""
