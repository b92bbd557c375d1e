"""Owns the way of commands on tariffs and customers to the key server, page by page.

Imported by commands when they run, not for their help.
"""

from typing import TypeVar

from sealcast.cli.acting import Operator, read_pages
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import (
    AssignmentList,
    AssignmentRow,
    CustomerList,
    CustomerRow,
    TariffList,
    TariffRow,
)

Page = TypeVar("Page", AssignmentList, CustomerList, TariffList)
WHOLE_CHANNELS = ""
"""The device of assignments to all devices of a channel, in a request for a list."""


def all_tariffs(operator: Operator) -> list[TariffRow]:
    """Return all tariffs; raises as `KeyServerClient.call`."""
    found: list[TariffRow] = []

    def take(page: TariffList) -> str | None:
        found.extend(page.tariffs)
        return page.tariffs[-1].name if page.more else None

    read_pages(operator, operations.TARIFF_LIST, TariffList, take)
    return found


def all_assignments(operator: Operator, **wanted: str | None) -> list[AssignmentRow]:
    """Return the assignments of a channel, device or tariff in the order of making, or all."""
    found: list[AssignmentRow] = []

    def take(page: AssignmentList) -> int | None:
        found.extend(page.assignments)
        return page.assignments[-1].number if page.more else None

    read_pages(operator, operations.ASSIGNMENT_LIST, AssignmentList, take, **wanted)
    return found


def all_customers(operator: Operator) -> list[CustomerRow]:
    """Return all customers that were set or billed."""
    found: list[CustomerRow] = []

    def take(page: CustomerList) -> str | None:
        found.extend(page.customers)
        return page.customers[-1].id if page.more else None

    read_pages(operator, operations.CUSTOMER_LIST, CustomerList, take)
    return found
