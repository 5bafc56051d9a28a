"""A template: what is made again and again, under a name.

Pure: functions take a template and return the events that follow; the last event holds it as it then is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.templates.content import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The fields are those of rota.tasks.v1.Template.

    Attributes:
        content: None where it was not read.
        project_id: The project that it was made from, if it was: who does not see that does not see the template.
    """

    id: UUID
    workspace_id: UUID
    name: str
    description: str = ""
    content: Content | None
    makes_project: bool
    project_id: UUID | None = None
    task_count: int
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class TemplateEvent:
    """Something happened to a template; `template` is it afterwards."""

    template: Template


class TemplateCreated(TemplateEvent):
    """It was saved."""


class TemplateUpdated(TemplateEvent):
    """It changed."""


class TemplateDeleted(TemplateEvent):
    """It was deleted; `template` is as it last was, one version on."""


def counted(content: Content) -> dict[str, Any]:
    """What a template shows of its content without it."""
    return {"makes_project": content.project is not None, "task_count": len(content.tasks)}


def edit(template: Template, changes: Mapping[str, Any], *, now: datetime) -> Sequence[TemplateEvent]:
    """Set name, description or content; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(template, name) != value}
    if not fields:
        return []
    if "content" in fields:
        fields |= counted(fields["content"])
    return [TemplateUpdated(replace(template, **fields, updated_at=now, version=template.version + 1))]


def delete(template: Template, *, now: datetime) -> Sequence[TemplateEvent]:
    """End it."""
    return [TemplateDeleted(replace(template, updated_at=now, version=template.version + 1))]
