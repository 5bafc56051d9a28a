#!/bin/sh
# Makes the secrets of one deployment, a file each, below a folder (deploy/secrets unless named). A file that exists
# is kept, so running it again only adds what is missing.
set -eu
folder=${1:-"$(dirname "$0")/secrets"}
command -v openssl >/dev/null || { echo "make-secrets.sh needs the openssl command." >&2; exit 1; }
umask 077
mkdir -p "$folder"

keep() { # keep <name>: standard input becomes the secret, unless there is one
    if [ -e "$folder/$1.txt" ]; then
        cat >/dev/null
    else
        cat >"$folder/$1.txt.new"
        # The processes in the containers have other user ids; on this machine the folder keeps others out.
        chmod 0444 "$folder/$1.txt.new"
        mv "$folder/$1.txt.new" "$folder/$1.txt"
    fi
}
value() { cat "$folder/$1.txt"; }

for server in postgres redis nats; do
    openssl rand -hex 24 | keep "${server}_password"
done
echo "postgresql://postgres:$(value postgres_password)@postgres:5432/postgres" | keep postgres_url
echo "redis://:$(value redis_password)@redis:6379/0" | keep redis_url
echo "nats://rota:$(value nats_password)@nats:4222" | keep nats_url
openssl rand -base64 48 | keep service_secret
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | keep signing_key
openssl rand -base64 18 | keep admin_password
echo "Secrets are in $folder"
