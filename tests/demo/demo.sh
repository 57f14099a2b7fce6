#!/bin/sh
# The main job, for real: init, check, plan, up, and a look at what came of it.
set -eu
folder=$1
domain=notes.localhost

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

if [ ! -f "$folder/moorage.yaml" ]; then
    say "moorage init: a few answers become moorage.yaml and generated secrets"
    moorage -C "$folder" init --app notes --domain "$domain" --tls internal-ca --name demo --yes
    # The demo does not insist on 80 and 443: something else may live there.
    cat >>"$folder/moorage.yaml" <<'YAML'

edge: {address: 127.0.0.1, http_port: 8080, https_port: 8443}
YAML
fi

say "moorage check: can this server run it?"
moorage -C "$folder" check

say "moorage plan: what would change"
moorage -C "$folder" plan || test $? -eq 2

say "moorage up"
moorage -C "$folder" up

say "moorage status"
moorage -C "$folder" status

say "moorage plan: nothing is left to do"
moorage -C "$folder" plan

say "a note, written and read through Traefik over HTTPS"
ca="$folder/secrets/compose/tls/ca.crt"
ask() { curl --silent --show-error --fail --cacert "$ca" --resolve "$domain:8443:127.0.0.1" "$@"; }
ask -X POST -H 'Content-Type: application/json' -d '{"title": "hello", "body": "from the demo"}' "https://$domain:8443/api/notes"
echo
ask "https://$domain:8443/health"
echo

say "moorage backup run: taken, restored without a network, compared"
moorage -C "$folder" backup run
moorage -C "$folder" backup list

cat <<TEXT

It runs: https://$domain:8443 (the certificate is from the demo's own authority, $ca)

Try next:
  .venv/bin/moorage -C $folder status            how everything is
  .venv/bin/moorage -C $folder logs web          what the app says
  .venv/bin/moorage -C $folder backup restore    that backup, in the place of what is there; --undo goes back
  .venv/bin/moorage -C $folder tune --explain    why Postgres is set as it is
  edit $folder/moorage.yaml (for instance: env: {GREETING: hello}), then
  .venv/bin/moorage -C $folder plan              what that would change
  .venv/bin/moorage -C $folder up                the change, without a pause
  .venv/bin/moorage -C $folder rollback          and back
  make demo-down                              remove it with its data
TEXT
