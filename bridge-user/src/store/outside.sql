-- Sysctls of the host that were changed, and what puts them back.
CREATE TABLE sysctls (
    key     TEXT PRIMARY KEY,             -- path below /proc/sys/net
    boot_id TEXT NOT NULL,                -- another boot began with other values
    before  TEXT NOT NULL,
    ours    TEXT NOT NULL                 -- what it has to be to be put back
) STRICT;

CREATE TABLE publications (
    endpoint  TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    protocol  TEXT NOT NULL,
    host      TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    port      INTEGER NOT NULL,
    sources   TEXT NOT NULL,              -- JSON array
    PRIMARY KEY (protocol, host, host_port)
) STRICT;
CREATE INDEX publications_by_endpoint ON publications (endpoint);
