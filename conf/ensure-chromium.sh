#!/usr/bin/env bash
# Installs Chromium for the tests of HTML pages where apt and root are at hand; elsewhere says that they are left out, which is no error.
set -euo pipefail

if command -v chromium >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "The tests of HTML pages need Chromium; installing Debian's."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0
fi
echo "No Chromium: the tests that look at HTML pages in a browser are skipped. To have them, run: sudo apt-get install chromium"
