"""What operators read about the environment is what the processes read from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rota_auth.settings import AuthSettings
from rota_gateway.settings import GatewaySettings
from rota_notifications.settings import NotificationsSettings
from rota_scheduler.settings import SchedulerSettings
from rota_tasks.settings import TasksSettings

if TYPE_CHECKING:
    from rota_chassis.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
# Read by the command alone.
OF_THE_COMMAND = {"ROTA_DATA_DIR"}


def test_the_example_lists_every_variable_and_no_other() -> None:
    listed = set(re.findall(r"^# (ROTA_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    classes: list[type[ServiceSettings]] = [
        AuthSettings,
        GatewaySettings,
        NotificationsSettings,
        SchedulerSettings,
        TasksSettings,
    ]
    read = {f"ROTA_{name.upper()}" for settings in classes for name in settings.model_fields}
    assert listed == read | OF_THE_COMMAND
