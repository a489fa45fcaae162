package httpapi

import (
	"encoding/json"
	"os"
)

// journal is a file of JSON lines that is put aside, as <path>.1, when it is full.
type journal struct {
	path  string // empty: none
	limit int64  // bytes
	file  *os.File
	size  int64
	fault error // of the last line
}

// append writes v as a line; fault says whether it could.
func (j *journal) append(v any) {
	if j.path == "" {
		return
	}
	raw, err := json.Marshal(v)
	if err == nil {
		err = j.write(append(raw, '\n'))
	}
	j.fault = err
}

// write appends a line to the file, after putting a full one aside.
func (j *journal) write(line []byte) error {
	if j.file != nil && j.size+int64(len(line)) > j.limit {
		_ = j.file.Close() // every line was written
		j.file = nil
		if err := os.Rename(j.path, j.path+".1"); err != nil {
			return err
		}
	}
	if j.file == nil {
		file, err := os.OpenFile(j.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		at, err := file.Stat()
		if err != nil {
			_ = file.Close()
			return err
		}
		j.file, j.size = file, at.Size()
	}
	n, err := j.file.Write(line)
	j.size += int64(n)
	return err
}

// close closes the file; nothing is written any more.
func (j *journal) close() error {
	j.path = ""
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
