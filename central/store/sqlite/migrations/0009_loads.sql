-- What a virtual machine has had to do, by its pilot's word: at most so many samples over its whole life, as JSON, written
-- with its facts (central/store/loads.py).
ALTER TABLE nodes ADD COLUMN loads TEXT NOT NULL DEFAULT '[]';
