"""Who manages a project sees the links to what is in it, and revokes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import project_members_pb2, projects_pb2, sharing_pb2
from rota_chassis.errors import NotFound

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.services import User


async def links(world: World, user: User) -> set[str]:
    request = sharing_pb2.ListShareLinksRequest(workspace_id=str(world.owner.workspace_id))
    return {each.id for each in (await world.call("SharingService.ListShareLinks", request, user)).links}


async def revoked(world: World, user: User, link_id: str) -> bool:
    """Whether the user may revoke the link, and so has."""
    try:
        await world.call("SharingService.DeleteShareLink", sharing_pb2.DeleteShareLinkRequest(id=link_id), user)
    except NotFound:
        return False
    return True


async def test_the_admin_of_a_project_revokes_what_others_share_of_it_and_nobody_else_does(world: World) -> None:
    await world.name(world.outsider)
    made = {}
    for name, shared in (
        ("task", {"task_id": world.task}),
        ("project", {"project_id": world.project}),
        ("outside", {"task_id": world.outside}),
    ):
        request = sharing_pb2.CreateShareLinkRequest(**shared)
        made[name] = (await world.call("SharingService.CreateShareLink", request, world.outsider)).link.id
    assert await links(world, world.viewer) == set()
    assert await links(world, world.keeper) == {world.link, made["task"], made["project"]}
    assert await links(world, world.owner) == {world.link, *made.values()}
    assert not await revoked(world, world.viewer, made["task"])
    assert not await revoked(world, world.keeper, made["outside"])
    for name in ("task", "project"):
        assert await revoked(world, world.keeper, made[name])
    assert await links(world, world.outsider) == {made["outside"]}


async def test_the_admin_of_an_open_project_manages_its_links_and_those_of_no_other(world: World) -> None:
    own = (
        await world.call("ProjectService.CreateProject", projects_pb2.CreateProjectRequest(name="Open"), world.viewer)
    ).project
    naming = project_members_pb2.AddProjectMemberRequest(
        project_id=own.id, user_id=str(world.viewer.id), role=project_members_pb2.PROJECT_ROLE_ADMIN
    )
    await world.call("ProjectMemberService.AddProjectMember", naming, world.owner)
    request = sharing_pb2.CreateShareLinkRequest(project_id=own.id)
    link = (await world.call("SharingService.CreateShareLink", request, world.outsider)).link.id
    assert await links(world, world.viewer) == {link}
    assert await links(world, world.keeper) == {world.link}
    removal = project_members_pb2.RemoveProjectMemberRequest(project_id=own.id, user_id=str(world.viewer.id))
    await world.call("ProjectMemberService.RemoveProjectMember", removal, world.owner)
    assert await links(world, world.viewer) == set()
    assert not await revoked(world, world.viewer, link)
