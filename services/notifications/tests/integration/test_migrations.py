"""The service's tables are what the migrations make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.private_projects import PRIVATE_PROJECTS
from rota_notifications.email.store import DELIVERIES
from rota_notifications.notifications.store import NOTIFICATIONS
from rota_notifications.people.store import PEOPLE

if TYPE_CHECKING:
    from rota_chassis.testing.service_plugin import MakeDatabase
    from sqlalchemy import Table


@pytest.mark.parametrize(
    "table", [NOTIFICATIONS, DELIVERIES, PEOPLE, MEMBERSHIPS, PRIVATE_PROJECTS], ids=lambda table: table.name
)
async def test_a_table_has_the_columns_that_its_store_names(make_database: MakeDatabase, table: Table) -> None:
    connection = await asyncpg.connect(await make_database("notifications"))
    rows = await connection.fetch(
        "SELECT column_name, is_nullable = 'YES' AS nullable FROM information_schema.columns WHERE table_name = $1",
        table.name,
    )
    await connection.close()
    assert {row["column_name"]: row["nullable"] for row in rows} == {column.name: column.nullable for column in table.c}
