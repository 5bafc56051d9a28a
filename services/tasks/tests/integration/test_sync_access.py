"""Copies of a workspace, of who may see a part of it, whoever says what that is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota.tasks.v1 import project_members_pb2, projects_pb2
from rota_chassis.errors import Gone
from rota_chassis.testing.services import User
from syncing import ACTIONS, WORLD, Copy, Person, new_user, read_all

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.tokens import TokenIssuer


class Keeper(Person):
    """Also says who sees what: an owner of a workspace, and one who is a member of it."""

    other: User

    async def create_private(self, one: int, _other: int) -> None:
        request = projects_pb2.CreateProjectRequest(
            name=f"private {one}", visibility=projects_pb2.PROJECT_VISIBILITY_PRIVATE
        )
        answer = await self.stage.projects.CreateProject(request, metadata=self.user.metadata)
        self.projects.append(answer.project.id)

    async def _see(self, one: int, visibility: int) -> None:
        request = projects_pb2.UpdateProjectRequest(
            id=self._of([str(uuid4()), *self.projects], one),
            visibility=visibility,
            update_mask=FieldMask(paths=["visibility"]),
        )
        await self.stage.projects.UpdateProject(request, metadata=self.user.metadata)

    async def shut(self, one: int, _other: int) -> None:
        await self._see(one, projects_pb2.PROJECT_VISIBILITY_PRIVATE)

    async def open(self, one: int, _other: int) -> None:
        await self._see(one, projects_pb2.PROJECT_VISIBILITY_WORKSPACE)

    async def let_in(self, one: int, _other: int) -> None:
        request = project_members_pb2.AddProjectMemberRequest(
            project_id=self._of([str(uuid4()), *self.projects], one), user_id=str(self.other.id)
        )
        await self.stage.members.AddProjectMember(request, metadata=self.user.metadata)

    async def put_out(self, one: int, _other: int) -> None:
        request = project_members_pb2.RemoveProjectMemberRequest(
            project_id=self._of([str(uuid4()), *self.projects], one), user_id=str(self.other.id)
        )
        await self.stage.members.RemoveProjectMember(request, metadata=self.user.metadata)

    async def carry(self, one: int, other: int) -> None:
        await self._update(self._of(self.tasks, one), project_id=self._of([None, *self.projects], other))


SEEING = sorted(name for name in vars(Keeper) if not name.startswith("_") and name != "other")
SEEING_STEPS = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, *SEEING, *SEEING]), st.integers(0, 4), st.integers(0, 4))
    | st.tuples(st.sampled_from(["page", "pull"]), st.integers(0, 4), st.just(0)),
    min_size=3,
    max_size=20,
)


async def test_a_copy_holds_what_its_user_may_see_whoever_is_let_in_or_put_out(
    stage: Stage, issuer: TokenIssuer
) -> None:
    async def live(steps: list[tuple[str, int, int]]) -> None:
        user, other = new_user(stage, issuer), User(issuer)
        other.workspace_id = user.workspace_id
        other.token = issuer.access_token(other.id, other.workspace_id, session_id=other.session_id)
        stage.auth.add_member(user.workspace_id, other.id)
        person = Keeper(stage, user)
        person.other = other
        copies = [Copy(stage, other)]

        async def follow(how: str, size: int) -> None:
            try:
                await getattr(copies[-1], how)(size)
            except Gone:
                copies.append(Copy(stage, other))
                await copies[-1].pull()

        for action, one, number in [*WORLD, ("pull", 0, 0), *steps]:
            if action in ("page", "pull"):
                await follow(action, 1 + one)
            else:
                await person.do(action, one, number)
        await follow("pull", 3)
        there = await read_all(stage, other)
        assert copies[-1].things == there
        assert await copies[-1].pull() == []

    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(SEEING_STEPS)
    def check(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(live(steps), loop).result(60)

    await asyncio.to_thread(check)
