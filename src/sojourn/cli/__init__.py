"""The command: what people and scripts type. Imports nothing of the server until it must run one."""
