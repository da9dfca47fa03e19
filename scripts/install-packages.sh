#!/bin/bash
# Installs the Debian packages named as arguments that are missing; silent when none is.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
  echo "no apt-get here: these must be installed by other means: $*" >&2
  exit 0
fi

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
echo "apt-get install: ${missing[*]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
  "${as_root[@]}" apt-get update &&
    "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null || {
  cat "$log" >&2
  echo "could not install: ${missing[*]}" >&2
  exit 1
}
