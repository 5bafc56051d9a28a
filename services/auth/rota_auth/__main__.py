"""Runs the auth service."""

from __future__ import annotations

from rota_chassis.service import run

from rota_auth.bootstrap import SERVICE

if __name__ == "__main__":
    run(SERVICE)
