"""Running campaigns: workers on this machine, pausing and stopping, watching, and the doctor."""
