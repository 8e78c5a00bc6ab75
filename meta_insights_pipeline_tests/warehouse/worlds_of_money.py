"""Rows of accounts with three currencies, of which every sum shows whether it has added up two of them.

Each currency's money takes three digits of its own: euros are below a thousand, yen are thousands, dollars are millions. Nothing
but money is other than 0, and no entities are stored: what is known of an account is what a sync has found of it.
"""

from datetime import date, timedelta
from decimal import Decimal

from meta_insights_pipeline.catalog.conversions import events
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, NOON, Books

CURRENCIES = {"1": ("EUR", 1), "2": ("JPY", 1_000), "3": ("USD", 1_000_000), "4": ("EUR", 1)}
DAYS = 2


def worlds_of_money(shop: Books, first: date = DAY) -> None:
    """One entity of each level and account on each of two days."""
    for account, (currency, unit) in CURRENCIES.items():
        shop.found(account, currency)
        for level in Level:
            entity = account if level is Level.ACCOUNT else f"{level.value} {account}"
            parents = {part.id_field: f"{part.value} {account}" for part in list(Level)[1 : level.depth]}
            for day in (first + timedelta(days=number) for number in range(DAYS)):
                shop.fact(
                    level,
                    entity,
                    day,
                    account_id=account,
                    account_currency=currency,
                    spend=unit,
                    account_name="Shop",
                    **parents,
                )
                shop.collected(level, day, NOON, account_id=account)
                for event in events().values():
                    shop.action(level, entity, event.action_type, 0, day, account_id=account, field=event.count_field)
                    if event.value_field:
                        money = {"value_7d_click": unit}
                        shop.action(
                            level,
                            entity,
                            event.action_type,
                            unit,
                            day,
                            account_id=account,
                            field=event.value_field,
                            **money,
                        )


def is_of_one_currency(number: Decimal | None) -> bool:
    """Whether a sum of such money is of one currency; small numbers of rows leave each its digits."""
    if number is None:
        return True
    digits = f"{number:f}".partition(".")[0]
    groups = [int(digits[max(0, end - 3) : end]) for end in range(len(digits), 0, -3)]
    return sum(group > 0 for group in groups) <= 1
