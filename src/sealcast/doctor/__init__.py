"""What stands between this machine and a stream: checks on plain values, and the looks that fetch them."""
