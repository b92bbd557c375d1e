"""Reception: who receives at this moment, and who did."""
