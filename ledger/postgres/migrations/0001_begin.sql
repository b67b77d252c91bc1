-- The store's own tables. Those of the ledger are made from their list in
-- ledger/store, which only grows.

CREATE TABLE IF NOT EXISTS store_format (
	one INT8 NOT NULL PRIMARY KEY CHECK (one = 1),
	version INT8 NOT NULL,
	needs INT8 NOT NULL,
	spread INT8 NOT NULL
);

CREATE TABLE IF NOT EXISTS store_use (
	one INT8 NOT NULL PRIMARY KEY CHECK (one = 1),
	holder BYTEA NOT NULL,
	who TEXT NOT NULL,
	commits INT8 NOT NULL,
	until TIMESTAMPTZ NOT NULL
);

INSERT INTO store_use (one, holder, who, commits, until) VALUES (1, '', '', 0, now()) ON CONFLICT (one) DO NOTHING;
