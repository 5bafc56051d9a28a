"""What other systems export becomes projects and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importing import codes, run, tasks_of
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    imports_pb2,
    relations_pb2,
    tasks_pb2,
)

if TYPE_CHECKING:
    from conftest import Stage


BOARD = {
    "id": "b1",
    "name": "Garden",
    "desc": "",
    "closed": False,
    "lists": [{"id": "l2", "name": "Doing", "pos": 2}, {"id": "l1", "name": "Waiting", "pos": 1}],
    "labels": [{"id": "c1", "name": "", "color": "green"}],
    "members": [{"id": "m1", "username": "gracie", "fullName": "Grace"}],
    "cards": [
        {
            "id": "k1",
            "name": "Hedge",
            "desc": "Cut it",
            "idList": "l2",
            "idLabels": ["c1"],
            "idMembers": ["m1"],
            "due": "2026-12-01T10:00:00.000Z",
            "dueComplete": False,
            "closed": False,
            "pos": 1,
        },
        {"id": "k2", "name": "Old", "desc": "", "idList": "l1", "closed": True, "pos": 2},
    ],
    "checklists": [
        {"id": "s1", "idCard": "k1", "name": "Tools", "checkItems": [{"id": "i1", "name": "Saw", "state": "complete"}]}
    ],
    "actions": [
        {
            "id": "a1",
            "type": "commentCard",
            "date": "2026-01-02T03:04:05.000Z",
            "memberCreator": {"id": "m1", "username": "gracie"},
            "data": {"text": "Mind the birds", "card": {"id": "k1"}},
        }
    ],
}


async def test_a_trello_board_becomes_a_project(stage: Stage) -> None:
    job = await run(stage, BOARD, format=imports_pb2.IMPORT_FORMAT_TRELLO)
    assert codes(job) == [("/cards/0", "PERSON_UNKNOWN")]
    tasks = await tasks_of(stage)
    assert set(tasks) == {"Hedge", "Old"}
    assert tasks["Old"].status == tasks_pb2.TASK_STATUS_DONE
    items = await stage.checklists.ListChecklistItems(
        checklists_pb2.ListChecklistItemsRequest(task_id=tasks["Hedge"].id), metadata=stage.ada.metadata
    )
    assert [(item.title, item.is_done) for item in items.items] == [("Saw", True)]
    sections = await stage.boards.ListSections(
        boards_pb2.ListSectionsRequest(project_id=tasks["Hedge"].project_id), metadata=stage.ada.metadata
    )
    assert [section.name for section in sections.sections] == ["Waiting", "Doing"]
    comments = await stage.comments.ListComments(
        comments_pb2.ListCommentsRequest(task_id=tasks["Hedge"].id), metadata=stage.ada.metadata
    )
    assert [(each.text, each.created_at.seconds) for each in comments.comments] == [
        ("*gracie*:\n\nMind the birds", 1767323045)
    ]


VIKUNJA = [
    {
        "id": 1,
        "title": "House",
        "parent_project_id": 0,
        "hex_color": "ff0000",
        "buckets": [{"id": 5, "title": "Soon"}],
        "task_buckets": [{"task_id": 11, "bucket_id": 5}],
        "tasks": [
            {
                "id": 12,
                "title": "Paint",
                "done": True,
                "done_at": "2026-02-01T00:00:00Z",
                "due_date": "0001-01-01T00:00:00Z",
                "priority": 3,
                "percent_done": 0.5,
                "related_tasks": {"parenttask": [{"id": 11}], "blocked": [{"id": 11}]},
            },
            {
                "id": 11,
                "title": "Walls",
                "labels": [{"id": 1, "title": "inside", "hex_color": "00ff00"}],
                "related_tasks": {"subtask": [{"id": 12}], "blocking": [{"id": 12}]},
                "repeat_after": 90,
                "comments": [{"id": 1, "comment": "White?", "author": {"username": "bob"}}],
            },
        ],
    },
    {"id": 2, "title": "Garage", "parent_project_id": 1, "tasks": []},
]


async def test_a_vikunja_export_becomes_projects_with_relations(stage: Stage) -> None:
    job = await run(stage, VIKUNJA, format=imports_pb2.IMPORT_FORMAT_VIKUNJA)
    assert codes(job) == [("/0/tasks/1", "RECURRENCE_LEFT_OUT")]
    assert {each.kind: each.created for each in job.counts} == {
        "project": 2,
        "section": 1,
        "label": 1,
        "task": 2,
        "relation": 1,
        "comment": 1,
    }
    tasks = await tasks_of(stage)
    paint, walls = tasks["Paint"], tasks["Walls"]
    assert (paint.parent_id, paint.progress, paint.completed_at.seconds) == (walls.id, 50, 1769904000)
    assert list(paint.blocked_by) == [walls.id]
    related = await stage.relations.ListRelations(
        relations_pb2.ListRelationsRequest(id=walls.id), metadata=stage.ada.metadata
    )
    assert [each.type for each in related.relations] == [relations_pb2.RELATION_TYPE_BLOCKS]
    assert walls.HasField("section_id")
    again = await run(stage, VIKUNJA, format=imports_pb2.IMPORT_FORMAT_VIKUNJA)
    assert (again.created, again.failed, again.skipped) == (0, 0, 8)


TODOIST = {
    "projects": [{"id": "p1", "name": "Home"}, {"id": "p2", "name": "Kitchen", "parent_id": "p1"}],
    "sections": [{"id": "s1", "project_id": "p1", "name": "Soon", "section_order": 1}],
    "labels": [{"id": "x1", "name": "fun"}],
    "items": [
        {"id": "t2", "content": "Flour", "project_id": "p1", "parent_id": "t1", "child_order": 1, "checked": True},
        {
            "id": "t1",
            "content": "Bake",
            "project_id": "p1",
            "section_id": "s1",
            "priority": 4,
            "labels": ["fun"],
            "due": {"date": "2026-12-24", "is_recurring": True, "string": "every blue moon"},
            "duration": {"amount": 2, "unit": "minute"},
        },
        {"id": "t3", "content": "Gone", "is_deleted": True},
        {"id": "t4", "content": "Loop", "parent_id": "t5"},
        {"id": "t5", "content": "Loop too", "parent_id": "t4"},
    ],
    "notes": [{"id": "n1", "item_id": "t1", "content": "With sugar", "posted_uid": "u1"}],
    "collaborators": [{"id": "u1", "email": "bob@example.com"}],
}


async def test_an_answer_of_todoist_becomes_projects(stage: Stage) -> None:
    job = await run(stage, TODOIST, format=imports_pb2.IMPORT_FORMAT_TODOIST)
    assert sorted(codes(job)) == [
        ("/items/1", "RECURRENCE_LEFT_OUT"),
        ("/items/3", "SUBTASK_CYCLE"),
        ("/items/4", "SUBTASK_CYCLE"),
    ]
    tasks = await tasks_of(stage)
    bake, flour = tasks["Bake"], tasks["Flour"]
    assert set(tasks) == {"Bake", "Flour"}
    assert (bake.priority, bake.due_on, bake.estimate_s) == (tasks_pb2.TASK_PRIORITY_URGENT, "2026-12-24", 120)
    assert (flour.parent_id, flour.status) == (bake.id, tasks_pb2.TASK_STATUS_DONE)


async def test_a_todoist_template_becomes_a_project(stage: Stage) -> None:
    content = (
        "\ufeffTYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE\n"
        "meta,view_style=list,,,,,,,,\n"
        "section,Soon,,,,,,,,\n"
        "task,Bake @fun,a cake,1,1,Bob (1),,2026-12-24,en,Europe/Berlin\n"
        "task,Flour,,4,2,,,every blue moon,en,\n"
        "note,With sugar,,,,Bob (1),,,,\n"
        "dance,x,,,,,,,,\n"
    )
    job = await run(stage, content, format=imports_pb2.IMPORT_FORMAT_TODOIST_CSV)
    assert codes(job) == [("line 5", "RECURRENCE_LEFT_OUT"), ("line 7", "KIND_UNKNOWN")]
    tasks = await tasks_of(stage)
    assert (tasks["Bake"].due_on, tasks["Flour"].parent_id) == ("2026-12-24", tasks["Bake"].id)
    assert len(tasks["Bake"].label_ids) == 1
