from __future__ import annotations

from rota_chassis.service import Service, run

from rota_auth.bootstrap import build
from rota_auth.settings import AuthSettings

run(Service("auth", AuthSettings, build))
