from __future__ import annotations

from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from rota.options.v1 import options_pb2
from rota_gateway.contract import load_contract
from rota_gateway.routes import Access, ContractError, RateClass, Route, load_routes, method_routes


def route(rpc: str, *, alias: bool = False) -> Route:
    (found,) = (each for each in load_routes() if each.rpc == rpc and each.alias is alias)
    return found


def method(name: str, **rule: Any) -> Any:
    """A method of a service made up for a test, with a google.api.http rule."""
    file = FileDescriptorProto(name=f"rota_test/{name}.proto", package=f"rota_test.{name}", syntax="proto3")
    file.dependency.extend(["google/api/annotations.proto", "rota/options/v1/options.proto"])
    request = file.message_type.add(name="AskRequest")
    request.field.add(name="id", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    request.field.add(name="ids", number=2, type="TYPE_STRING", label="LABEL_REPEATED")
    file.message_type.add(name="AskResponse")
    types = {"input_type": f".{file.package}.AskRequest", "output_type": f".{file.package}.AskResponse"}
    rpc = file.service.add(name="AskService").method.add(name="Ask", **types)
    access = rule.pop("access", options_pb2.ACCESS_USER)
    http: Any = rpc.options.Extensions[annotations_pb2.http]
    for option, value in rule.items():
        setattr(http, option, value)
    if access:
        rpc.options.Extensions[options_pb2.route].access = access
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name).services_by_name["AskService"].methods_by_name["Ask"]


def test_a_creation_has_a_location_and_a_header_bound_field() -> None:
    create = route("CreateTask")
    assert (create.method, create.path_template) == ("POST", "/api/v1/tasks")
    assert create.grpc_path == "/rota.tasks.v1.TaskService/CreateTask"
    assert create.backend == "tasks"
    assert (create.body, create.response_body) == ("*", "task")
    assert create.policy.success_status == 201
    assert create.policy.location == "/api/v1/tasks/{id}"
    assert create.policy.access is Access.USER
    assert create.policy.rate_class is RateClass.WRITE
    assert create.policy.timeout_s == 10.0
    assert not create.policy.idempotent
    assert create.header_fields == {"request_id": "Idempotency-Key"}
    assert create.not_in_body == {"request_id"}
    assert create.query_fields == ()


def test_a_merge_patch_has_a_field_mask_that_is_not_in_the_body() -> None:
    update = route("UpdateTask")
    assert update.update_mask_field == "update_mask"
    assert update.not_in_body == {"id", "update_mask", "if_match", "scope"}
    assert update.query_fields == ("scope",)
    assert update.path_params == ("id",)


def test_what_is_neither_in_path_nor_header_of_a_read_is_a_query_parameter() -> None:
    members = route("ListMembers")
    assert members.path_params == ("workspace_id",)
    assert members.query_fields == ("page_size", "page_token")
    assert members.policy.idempotent
    assert members.policy.rate_class is RateClass.READ


def test_an_answer_without_members_is_204() -> None:
    assert route("DeleteTask").policy.success_status == 204
    assert route("Logout").policy.success_status == 204


def test_an_additional_binding_is_an_alias_with_a_name_of_its_own() -> None:
    alias = route("GetMe", alias=True)
    assert alias.path_template == "/api/v1/users/profile"
    assert alias.operation_id != route("GetMe").operation_id
    assert alias.grpc_path == route("GetMe").grpc_path


def test_a_method_without_a_rule_is_not_served() -> None:
    assert "BatchGetUsers" not in {each.rpc for each in load_routes()}


def test_comments_of_the_protos_become_descriptions() -> None:
    create = route("CreateTask")
    assert create.summary == "Create a task"
    assert create.description.startswith("Create a task. Only a title is required;")
    assert load_contract().comments["rota.tasks.v1.Task.title"].startswith("One line")


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("no_access", {"get": "/x", "access": 0}, "state its access"),
        ("no_field", {"get": "/x/{nothing}"}, "must be a single scalar field"),
        ("many", {"get": "/x/{ids}"}, "must be a single scalar field"),
        ("wildcard", {"get": "/x/{id=things/*}"}, "must be a single scalar field"),
        ("no_body", {"post": "/x", "body": "nothing"}, "has no field 'nothing'"),
        ("no_answer", {"get": "/x", "response_body": "nothing"}, "has no field 'nothing'"),
    ],
)
def test_a_rule_that_contradicts_the_messages_is_an_error(name: str, rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        list(method_routes(method(name, **rule), load_contract()))
