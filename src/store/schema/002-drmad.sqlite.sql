-- What drmad keeps beside Optuna's tables. Optuna ignores it; it deletes trials and studies without
-- knowing of these rows, so triggers clear up behind it (its connections enforce no foreign keys).
CREATE TABLE drmad_schema (
    schema_id INTEGER NOT NULL PRIMARY KEY CHECK (schema_id = 1),
    version INTEGER NOT NULL,
    store TEXT NOT NULL
);
CREATE TABLE drmad_versions (
    version_id INTEGER NOT NULL PRIMARY KEY,
    study_id INTEGER NOT NULL REFERENCES studies (study_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    made DATETIME NOT NULL,
    UNIQUE (study_id, name)
);
-- One row a trial that drmad made or took. token: who may write to it while it is RUNNING; ended:
-- the last token that told it, negative when it gave it back; expires: seconds of `clock`, the
-- database's: a server counts from 1970, SQLite from the machine's start, which `clock` names, so
-- that setting the time neither ends a lease nor keeps it; made, claimed: the requests that did so,
-- to know them again.
CREATE TABLE drmad_leases (
    trial_id INTEGER NOT NULL PRIMARY KEY REFERENCES trials (trial_id) ON DELETE CASCADE,
    token INTEGER,
    ended INTEGER,
    expires FLOAT,
    clock TEXT,
    made TEXT UNIQUE,
    claimed TEXT UNIQUE,
    worker TEXT,
    version_id INTEGER
);
CREATE TABLE drmad_artefacts (
    artefact_id INTEGER NOT NULL PRIMARY KEY,
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    made DATETIME NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (trial_id, name)
);
CREATE INDEX drmad_trials_number ON trials (study_id, number);
CREATE INDEX drmad_trials_waiting ON trials (study_id, number) WHERE state = 'WAITING';
CREATE INDEX drmad_trials_running ON trials (study_id, trial_id) WHERE state = 'RUNNING';
CREATE INDEX drmad_trials_failed ON trials (study_id) WHERE state = 'FAIL';
CREATE TRIGGER drmad_trial_deleted AFTER DELETE ON trials
BEGIN
    DELETE FROM drmad_leases WHERE trial_id = OLD.trial_id;
    DELETE FROM drmad_artefacts WHERE trial_id = OLD.trial_id;
END;
CREATE TRIGGER drmad_study_deleted AFTER DELETE ON studies
BEGIN
    DELETE FROM drmad_versions WHERE study_id = OLD.study_id;
END;
-- Optuna reads a state and writes by id; on SQLite others may come between. It takes the error as
-- "somebody else was first".
CREATE TRIGGER drmad_trial_taken BEFORE UPDATE OF state ON trials
WHEN OLD.state NOT IN ('RUNNING', 'WAITING') OR (NEW.state = 'RUNNING' AND OLD.state <> 'WAITING')
BEGIN
    SELECT RAISE(ABORT, 'the trial is taken or finished');
END;
INSERT INTO drmad_schema (schema_id, version, store) VALUES (1, 2, lower(hex(randomblob(16))));
