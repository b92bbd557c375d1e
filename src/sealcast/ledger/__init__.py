"""The ledger's feature: money, accounts and entries that always balance."""
