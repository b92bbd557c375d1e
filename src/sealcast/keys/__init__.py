"""Key material, the table of previous, current and next, the policy of a change, and run slots."""
