#!/bin/bash
# Says what is missing when Node is absent or too old.
set -euo pipefail

if ! command -v node >/dev/null; then
  echo 'procflow needs Node.js 20 or later (https://nodejs.org), and found none' >&2
  exit 1
fi
major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
  echo "procflow needs Node.js 20 or later (https://nodejs.org), and found $(node --version)" >&2
  exit 1
fi
if ! command -v npm >/dev/null; then
  echo 'procflow needs npm, which comes with Node.js, and found none' >&2
  exit 1
fi
