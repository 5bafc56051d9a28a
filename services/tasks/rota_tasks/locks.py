"""The locks of the tasks service, and the one order in which every path takes them, so that none wait in a circle.

1. The boards of projects, by id: who holds one decides alone in which states and sections its tasks stand, and where.
   Then the imports of the workspace, so that two find what the other has created.
2. The structure of the workspace, which is the tree and the relations. Who adds a leaf, or opens a task, shares it:
   they do no harm to one another. Who moves, relates, deletes or restores, or relies on what stands around a task (a
   guard), has it alone; so has who spreads out the tasks of a board, since that locks many rows.
3. Rows of tasks: one; more than one, by id, only who has the structure alone.
4. Rows of series of recurring tasks.
5. Rows of labels, by id, to share; then rows of projects whose tasks get numbers, by id; then search documents, by
   task.

The first two are taken by `Database.ordered` before anything else, by their names; a path that finds late that it needs
one of them begins again with it. Rows that are inserted refer to projects and parents, and wait for them at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.work import Lock

if TYPE_CHECKING:
    from uuid import UUID


def board(project_id: UUID) -> Lock:
    """The board of a project."""
    return Lock(f"board of {project_id}")


def imports(workspace_id: UUID) -> Lock:
    """What imports create in a workspace."""
    return Lock(f"imports of {workspace_id}")


def structure(workspace_id: UUID, *, alone: bool) -> Lock:
    """The structure of a workspace."""
    return Lock(f"structure of {workspace_id}", alone)
