"""The environment of the scheduler."""

from __future__ import annotations

from pydantic import Field
from rota_chassis.settings import Environment, ServiceSettings


class SchedulerSettings(ServiceSettings):
    """What the scheduler reads beyond what all services share.

    Attributes:
        egress_allow_private: Whether HTTP actions may call loopback and private addresses; absent means in development
            and test only.
        run_slots: How many runs one replica executes at a time.
        run_history_days: How long runs are kept after they have ended; whole months are dropped, so up to a month more.
            Skipped times are kept as long.
        rule_log_days: How long entries of the logs of rules are kept.
        workflow_run_days: How long runs of workflows are kept after they have ended.
        workflow_tree_runs: How many runs of workflows may go on at a time within one that was started by itself.
        workflow_tree_depth: How many runs of workflows may be within each other, that one not counted.
    """

    egress_allow_private: bool | None = None
    run_slots: int = Field(default=32, ge=1, le=1000)
    run_history_days: int = Field(default=90, ge=1, le=36_500)
    rule_log_days: int = Field(default=30, ge=1, le=36_500)
    workflow_run_days: int = Field(default=90, ge=1, le=36_500)
    workflow_tree_runs: int = Field(default=10_000, ge=1, le=1_000_000)
    workflow_tree_depth: int = Field(default=8, ge=1, le=100)

    @property
    def private_addresses_allowed(self) -> bool:
        """Whether HTTP actions may call loopback and private addresses."""
        if self.egress_allow_private is not None:
            return self.egress_allow_private
        return self.environment in (Environment.DEVELOPMENT, Environment.TEST)
