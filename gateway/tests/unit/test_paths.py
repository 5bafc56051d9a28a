from __future__ import annotations

import pytest
from rota_gateway.paths import PathTable


@pytest.fixture
def table() -> PathTable[str]:
    table: PathTable[str] = PathTable()
    for method, template in (
        ("GET", "/"),
        ("GET", "/api/v1/tasks"),
        ("POST", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/{id}"),
        ("POST", "/api/v1/tasks/{id}/assign"),
        ("DELETE", "/api/v1/notifications/{id}"),
        ("POST", "/api/v1/notifications/read/{id}"),
    ):
        table.add(method, template, f"{method} {template}")
    return table


@pytest.mark.parametrize(
    ("path", "template", "captured"),
    [
        ("/", "/", ()),
        ("/api/v1/tasks", "/api/v1/tasks", ()),
        ("/api/v1/tasks/7", "/api/v1/tasks/{id}", ("7",)),
        ("/api/v1/tasks/a%2Fb%20c", "/api/v1/tasks/{id}", ("a/b c",)),
        ("/api/v1/tasks/7/assign", "/api/v1/tasks/{id}/assign", ("7",)),
        ("/api/v1/notifications/read/7", "/api/v1/notifications/read/{id}", ("7",)),
        # "read" is a literal elsewhere, and an id here.
        ("/api/v1/notifications/read", "/api/v1/notifications/{id}", ("read",)),
    ],
)
def test_a_path_is_found_with_its_parameters(
    table: PathTable[str], path: str, template: str, captured: tuple[str, ...]
) -> None:
    found = table.find(path)
    assert found is not None
    assert (found[0], found[2]) == (template, captured)


@pytest.mark.parametrize("path", ["/api", "/api/v1/tasks/", "/api/v1/tasks/7/", "/api/v1/tasks//assign", "/x"])
def test_other_paths_are_not_found(table: PathTable[str], path: str) -> None:
    assert table.find(path) is None


def test_the_methods_of_a_path_are_together(table: PathTable[str]) -> None:
    found = table.find("/api/v1/tasks")
    assert found is not None
    assert set(found[1]) == {"GET", "POST"}


def test_a_parameter_that_is_not_utf_8_is_an_error(table: PathTable[str]) -> None:
    with pytest.raises(UnicodeDecodeError):
        table.find("/api/v1/tasks/%ff")
