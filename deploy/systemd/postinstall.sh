#!/bin/sh
# After a package is installed: the system user and the home. Nothing is started.
set -e
if [ -d /run/systemd/system ]; then
	systemd-sysusers /usr/lib/sysusers.d/switchyard.conf
	systemd-tmpfiles --create /usr/lib/tmpfiles.d/switchyard.conf
	systemctl daemon-reload
fi
