"""The environment of the tasks service."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from rota_chassis.settings import ServiceSettings


class TasksSettings(ServiceSettings):
    """What the tasks service reads beyond what all services share.

    Attributes:
        trash_retention_days: How long a deleted task can be restored before it is purged.
        attachment_max_bytes: How long an attached file may be.
        attachment_quota_bytes: How long all files of a workspace may be together.
        attachments_folder: Where files are kept, unless a bucket is named; all replicas need the same.
        s3_bucket: Where files are kept instead: a bucket of an S3-compatible store.
        s3_endpoint: URL of that store; absent means Amazon's own.
        s3_region: Where the bucket is.
        s3_access_key_id: Absent, together with the secret, means what the machine has been given.
        s3_secret_access_key: Proves the key.
    """

    trash_retention_days: int = Field(default=30, ge=1, le=3650)
    attachment_max_bytes: int = Field(default=1024**3, ge=1)
    attachment_quota_bytes: int = Field(default=10 * 1024**3, ge=1)
    attachments_folder: Path = Path("attachments")
    s3_bucket: str | None = None
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None

    @model_validator(mode="after")
    def _refuse_half_a_key(self) -> Self:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("set both ROTA_S3_ACCESS_KEY_ID and ROTA_S3_SECRET_ACCESS_KEY, or neither")
        return self
