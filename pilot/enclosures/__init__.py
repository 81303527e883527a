"""Control groups around payloads: limits that the kernel keeps, and a fence that nobody leaves. Where there are none,
the sampling watchdog and resource limits do what they can."""
