"""The subscribers' feature: allow lists (the first `Admission`), devices sold, withdrawals, offences."""
