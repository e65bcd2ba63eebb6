-- Desired state. The UNIQUE constraints make a double lease, name, slot or port impossible.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

INSERT INTO meta VALUES
    ('owner', lower(hex(randomblob(8)))),           -- marks the pins that belong to this state
    ('ula_global_id', lower(hex(randomblob(5)))),   -- RFC 4193, 3.2.1
    ('id_of_bridge', lower(hex(randomblob(32)))),
    ('id_of_host', lower(hex(randomblob(32)))),
    ('id_of_none', lower(hex(randomblob(32))));

CREATE TABLE networks (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    number     INTEGER NOT NULL UNIQUE CHECK (number BETWEEN 1 AND 65535),
    state      TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
    created_ns INTEGER NOT NULL,
    bridge     TEXT NOT NULL UNIQUE,
    bridge_mac TEXT NOT NULL,
    internal   INTEGER NOT NULL,
    datapath   TEXT NOT NULL,
    options    TEXT NOT NULL,             -- JSON object
    labels     TEXT NOT NULL              -- JSON object
) STRICT;

CREATE TABLE pools (
    network  TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    ipv6     INTEGER NOT NULL,
    subnet   TEXT NOT NULL,
    gateway  TEXT NOT NULL,
    ip_range TEXT,
    aux      TEXT NOT NULL,               -- JSON object, name to address
    last     TEXT,                        -- the address given last
    PRIMARY KEY (network, ipv6)
) STRICT;

CREATE TABLE sandboxes (
    id         TEXT PRIMARY KEY,
    reference  TEXT NOT NULL,             -- as the user named it
    cookie     INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    boot_id    TEXT NOT NULL,
    created    INTEGER NOT NULL,          -- we made the namespace
    owns_hosts INTEGER NOT NULL,          -- we made its hosts file
    UNIQUE (boot_id, cookie)
) STRICT;

CREATE TABLE endpoints (
    id        TEXT PRIMARY KEY,
    network   TEXT NOT NULL REFERENCES networks (id),
    sandbox   TEXT NOT NULL REFERENCES sandboxes (id),
    name      TEXT NOT NULL,
    aliases   TEXT NOT NULL,              -- JSON array
    state     TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
    slot      INTEGER NOT NULL UNIQUE CHECK (slot > 0),
    mac       TEXT NOT NULL,
    interface TEXT NOT NULL,
    ifindex   INTEGER,                    -- of the host leg, once it exists
    trusted   INTEGER NOT NULL,           -- no port security
    links     TEXT NOT NULL,              -- JSON array of target, alias, sandbox
    UNIQUE (network, sandbox),
    UNIQUE (network, name),
    UNIQUE (network, mac),
    UNIQUE (sandbox, interface)
) STRICT;

CREATE TABLE leases (
    network  TEXT NOT NULL REFERENCES networks (id),
    address  TEXT NOT NULL,
    endpoint TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    PRIMARY KEY (network, address)
) STRICT;
CREATE INDEX leases_by_endpoint ON leases (endpoint);
