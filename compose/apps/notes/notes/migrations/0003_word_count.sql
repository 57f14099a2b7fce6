-- NULL means that the worker has not counted this note yet.
ALTER TABLE notes ADD COLUMN word_count integer CHECK (word_count >= 0);

CREATE INDEX notes_not_counted ON notes (id) WHERE word_count IS NULL;
