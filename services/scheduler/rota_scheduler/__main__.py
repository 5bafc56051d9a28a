"""`python -m rota_scheduler` serves."""

from __future__ import annotations

from rota_chassis.service import run

from rota_scheduler.bootstrap import SERVICE

if __name__ == "__main__":
    run(SERVICE)
