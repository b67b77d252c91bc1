-- Where the process that holder in store_use names takes requests. It is a table
-- of its own because a column more would make commits wait for whoever reads
-- store_use in a long snapshot; and it names its holder, because a process of the
-- version before takes the store without writing here.

CREATE TABLE IF NOT EXISTS store_address (
	one INT8 NOT NULL PRIMARY KEY CHECK (one = 1),
	holder BYTEA NOT NULL,
	url TEXT NOT NULL
);
