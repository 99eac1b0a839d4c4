#!/usr/bin/env bash
# Sees that Spark finds Java 17 or later; installs it where apt and root are at hand, else says what to run.
set -euo pipefail

java_command="${JAVA_HOME:+$JAVA_HOME/bin/}java"
if command -v "$java_command" >/dev/null 2>&1; then
    major=$("$java_command" -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p')
    if [ "${major:-0}" -ge 17 ]; then exit 0; fi
    found="Java ${major:-of unknown version} at $(command -v "$java_command")"
else
    found="no java command"
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Spark 4 needs Java 17; found $found. Installing openjdk-17-jre-headless."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless
    exit 0
fi
cat >&2 <<MESSAGE
error: Spark 4 needs Java 17. Received: $found. Accepted: Java 17 or later. Install it with one of
  sudo apt-get install openjdk-17-jre-headless     (Debian, Ubuntu)
  sudo dnf install java-17-openjdk-headless        (Fedora, RHEL)
  brew install openjdk@17                          (macOS)
or point JAVA_HOME at one.
MESSAGE
exit 2
