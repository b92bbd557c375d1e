"""The billing feature: usage, tariffs, periods, invoices."""
