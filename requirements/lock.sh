#!/bin/sh
# Writes the hash-pinned locks anew: for every platform and Python that Rota supports, without any index in them.
# `make lock` keeps the versions that still fit; `make lock UPGRADE=--upgrade` takes the newest.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
members="rota rota-protos rota-chassis rota-gateway rota-auth rota-tasks rota-scheduler rota-notifications rota-cli rota-worker"

compile() {
    output=$1
    shift
    # shellcheck disable=SC2046 (one option for each member)
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header \
        $(for member in $members; do printf -- '--no-emit-package %s ' "$member"; done) \
        ${UPGRADE:-} --output-file "requirements/$output" "$@"
}

# What `make run` needs: the members, the embedded servers, and what generates the contract's code.
compile run.txt cli/pyproject.toml --group pyproject.toml:build
# The same and what the checks need.
compile dev.txt cli/pyproject.toml --group pyproject.toml:build --group pyproject.toml:dev --constraints requirements/run.txt
# What an image holds: no embedded servers.
compile services.txt gateway/pyproject.toml services/*/pyproject.toml --constraints requirements/run.txt
# What builds the image.
printf 'uv\nprotovalidate\ngoogleapis-common-protos\n' |
    compile build.txt - --group pyproject.toml:build --constraints requirements/run.txt
# The queues that benchmarks/scheduler.py measures beside Rota, in an environment of their own.
printf 'apscheduler\nasyncpg\nawa-pg\ncelery[redis]\npgqueuer\nprocrastinate\nsqlalchemy\nuvloop\n' |
    compile peers.txt -
