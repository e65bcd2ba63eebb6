-- Sysctls of the host that were changed, and what puts them back.
CREATE TABLE sysctls (
    key     TEXT PRIMARY KEY,             -- path below /proc/sys/net
    boot_id TEXT NOT NULL,                -- another boot began with other values
    before  TEXT NOT NULL,
    ours    TEXT NOT NULL                 -- what it has to be to be put back
) STRICT;

-- Published ports. The primary key makes it impossible to publish one twice.
CREATE TABLE publications (
    endpoint  TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    protocol  TEXT NOT NULL,
    host      TEXT NOT NULL,              -- address of the host; 0.0.0.0 or :: for all of a family
    host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),
    port      INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    sources   TEXT NOT NULL,              -- JSON array: who may use it; empty for everybody
    PRIMARY KEY (protocol, host_port, host)
) STRICT;
CREATE INDEX publications_by_endpoint ON publications (endpoint);
