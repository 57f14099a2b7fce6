#!/bin/sh
# As in the public image: environment values go into /etc/nginx/templates/*.template, scripts in
# /docker-entrypoint.d run, then the command.
set -e

fill_in_templates() {
    # Only names that exist, so that nginx's own $variables stay.
    names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p')
    for template in /etc/nginx/templates/*.template; do
        [ -f "$template" ] || continue
        name=$(basename "$template" .template)
        envsubst "$names" <"$template" >"/etc/nginx/conf.d/$name"
    done
}

run_scripts() {
    for script in /docker-entrypoint.d/*.sh; do
        [ ! -x "$script" ] || "$script"
    done
}

case "${1:-}" in
    nginx | nginx-debug)
        fill_in_templates
        run_scripts
        ;;
esac
exec "$@"
