"""The units of systemd on a virtual machine: the pilot, and the end of the machine's life whatever the pilot does."""

from __future__ import annotations

import time

from wrappers.user_data.model import PLACE, Boot

SERVICE, END, TIMER = "pilotage.service", "pilotage-end.service", "pilotage-end.timer"
#: What is started now and after each boot.
ENABLED = (TIMER, SERVICE)

_SERVICE = """\
[Unit]
Description=Pilotage
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=1d
StartLimitBurst=4
{over}
[Service]
ExecStart=/bin/sh -c 'exec "$(command -v python3 || echo /usr/libexec/platform-python)" -I {place}/boot.py'
Restart=on-abnormal
RestartSec=5
KillMode=mixed
TimeoutStopSec=120
Delegate=yes
OOMPolicy=continue
{after}[Install]
WantedBy=multi-user.target
"""
_OVER = "StartLimitAction=poweroff\n"
# Not SuccessAction and FailureAction: older versions of systemd than 254 take them, and OnFailure, before they start
# again what was killed. It is for what Restart=on-abnormal does not start again.
_AFTER = """\
ExecStopPost=-/bin/sh -c 'case $SERVICE_RESULT in success|exit-code) systemctl --no-block poweroff ;; esac'
"""
_END = """\
[Unit]
Description=The end of this machine's life
[Service]
ExecStart=/bin/systemctl poweroff
"""
# By the calendar, so that reboots do not lengthen it; and by the time since the boot, for a clock that is wrong.
_TIMER = """\
[Unit]
Description=The end of this machine's life
[Timer]
OnCalendar={moment}
OnBootSec={life}
Persistent=true
[Install]
WantedBy=timers.target
"""


def units(boot: Boot) -> dict[str, str]:
    """name → text."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(boot.ends))
    over, after = (_OVER, _AFTER) if boot.goes else ("", "")
    return {
        SERVICE: _SERVICE.format(place=PLACE, over=over, after=after),
        END: _END,
        TIMER: _TIMER.format(moment=moment, life=boot.life),
    }
