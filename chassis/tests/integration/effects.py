"""Statements of tests: the table of effects, which transactions write, and two that need no table."""

from __future__ import annotations

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID

EFFECTS = Table("effects", MetaData(), Column("id", PgUUID), Column("version", Integer))
ADD = statement(insert(EFFECTS).values(id=bindparam("id"), version=bindparam("version")))
COUNT = statement(select(func.count()).select_from(EFFECTS))
VERSIONS = statement(select(EFFECTS.c.version).order_by(EFFECTS.c.version))
ONE = statement(select(literal_column("1")))
SLOW = statement(select(func.pg_sleep(bindparam("seconds"))))
