CREATE TABLE runs (
    id           TEXT PRIMARY KEY,        -- of its sandbox, too, where it has one
    name         TEXT NOT NULL UNIQUE,
    state        TEXT NOT NULL CHECK (state IN ('creating', 'running', 'stopping', 'exited')),
    created_ns   INTEGER NOT NULL,
    boot_id      TEXT NOT NULL,
    pid          INTEGER,                 -- of the command, once there is a process
    pid_start    INTEGER,                 -- in clock ticks since the boot
    keeper       INTEGER,                 -- who waits for it
    keeper_start INTEGER,
    started_ns   INTEGER,
    finished_ns  INTEGER,
    exit_code    INTEGER,
    remove       INTEGER NOT NULL,        -- the row goes with the command's end
    config       TEXT NOT NULL            -- JSON object
) STRICT;
