-- The memory of several gateways of one provider. Keys and values are those of the
-- rows that package memory describes, keys without their letter.

CREATE SEQUENCE IF NOT EXISTS memory_ticket;

CREATE TABLE IF NOT EXISTS memory_format (
	one INT8 NOT NULL PRIMARY KEY CHECK (one = 1),
	version INT8 NOT NULL,
	needs INT8 NOT NULL,
	spread INT8 NOT NULL,
	sign BYTEA NOT NULL
);

CREATE TABLE IF NOT EXISTS memory_instance (
	id BYTEA NOT NULL PRIMARY KEY,
	who TEXT NOT NULL,
	joined INT8 NOT NULL,
	oldest INT8 NOT NULL,
	late INT8 NOT NULL,
	until TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS memory_call (
	instance BYTEA NOT NULL REFERENCES memory_instance (id),
	jti BYTEA NOT NULL,
	ticket INT8 NOT NULL,
	spooled BOOL NOT NULL,
	value BYTEA NOT NULL,
	PRIMARY KEY (instance, jti)
);

CREATE TABLE IF NOT EXISTS memory_subject (key BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL);

CREATE TABLE IF NOT EXISTS memory_gap (
	subject BYTEA NOT NULL,
	first INT8 NOT NULL,
	last INT8 NOT NULL,
	ticket INT8 NOT NULL,
	PRIMARY KEY (subject, first)
);

CREATE TABLE IF NOT EXISTS memory_entry (key BYTEA NOT NULL PRIMARY KEY, cohort BOOL NOT NULL, value BYTEA NOT NULL);

CREATE TABLE IF NOT EXISTS memory_asked (key BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL);

CREATE TABLE IF NOT EXISTS memory_checkpoint (key BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL);

CREATE TABLE IF NOT EXISTS memory_token (
	key BYTEA NOT NULL PRIMARY KEY,
	hour INT8 NOT NULL,
	taken BYTEA NOT NULL
);

CREATE INDEX IF NOT EXISTS memory_token_hour ON memory_token (hour, key);

CREATE TABLE IF NOT EXISTS memory_check (key BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL);
