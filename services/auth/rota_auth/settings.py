"""What auth reads from its environment."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (pydantic reads the annotation)
from typing import Literal, Self

from protovalidate import Validator
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from rota.auth.v1 import auth_pb2
from rota_chassis.rpc.pipeline import violations_of
from rota_chassis.settings import Environment, ServiceSettings

ADMIN_NAME = "Administrator"


class AuthSettings(ServiceSettings):
    """The environment of the auth service; an empty variable counts as unset.

    Attributes:
        auth_signup: Who may register: "open" means anyone.
        access_token_lifetime_s: Seconds for which an access token is good.
        signing_key: The key that signs access tokens: P-256, PEM.
        signing_key_file: Where that key is; outside production it is made there when absent.
        admin_email: E-mail address of the first administrator, made at start when nobody has it.
        admin_password: Their password.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    auth_signup: Literal["open"] = "open"
    access_token_lifetime_s: int = Field(default=900, ge=10, le=86_400)
    signing_key: SecretStr | None = None
    signing_key_file: Path | None = None
    admin_email: str | None = None
    admin_password: SecretStr | None = None

    @field_validator("auth_signup", mode="before")
    @classmethod
    def _refuse_other_signups(cls, value: object) -> object:
        if value != "open":
            raise ValueError('ROTA_AUTH_SIGNUP must be "open", the only way of signing up that this version knows')
        return value

    @model_validator(mode="after")
    def _require_key_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.signing_key is None and self.signing_key_file is None:
            raise ValueError("set ROTA_SIGNING_KEY or ROTA_SIGNING_KEY_FILE: production does not make its own key")
        return self

    @model_validator(mode="after")
    def _check_admin(self) -> Self:
        admin = self.admin
        if admin is None:
            return self
        request = auth_pb2.RegisterRequest(email=admin[0], password=admin[1], name=ADMIN_NAME)
        for violation in violations_of(Validator(), request):
            raise ValueError(f"ROTA_ADMIN_{violation.field.upper()}: {violation.description}")
        return self

    @property
    def admin(self) -> tuple[str, str] | None:
        """E-mail address and password of the first administrator, when both are set."""
        if self.admin_email is None or self.admin_password is None:
            return None
        return self.admin_email, self.admin_password.get_secret_value()
