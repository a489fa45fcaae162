package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Limits of what is shown of a log.
const (
	defaultLines = 200
	maxLines     = 10000
	maxTail      = 4 << 20
	followPause  = 200 * time.Millisecond
)

// logs answers with the last lines that a node printed: ?lines=, ?of=dataplane
// for its data plane, ?follow=true to go on as it prints.
func (l *Launcher) logs(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if _, err := l.configured(id); err != nil && !errors.Is(err, ErrLeaving) {
		return err
	}
	name, lines, follow := nodeLog, defaultLines, false
	for key, values := range r.URL.Query() {
		value, err := values[len(values)-1], error(nil)
		switch key {
		case "follow":
			follow, err = strconv.ParseBool(value)
		case "lines":
			if lines, err = strconv.Atoi(value); err == nil && (lines < 0 || lines > maxLines) {
				err = fmt.Errorf("not between 0 and %d", maxLines)
			}
		case "of":
			switch value {
			case "node":
			case "dataplane":
				name = planeLog
			default:
				err = errors.New("neither node nor dataplane")
			}
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return fmt.Errorf("%w: %s=%q: %w", errMalformed, key, value, err)
		}
	}
	end, err := l.openStream()
	if err != nil {
		return err
	}
	defer end()
	path := filepath.Join(l.nodeDir(id), name)
	content, offset, err := tail(path, lines)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(content)
	if !follow {
		return nil
	}
	flush := http.NewResponseController(w)
	t := time.NewTicker(followPause)
	defer t.Stop()
	for flush.Flush() == nil {
		select {
		case <-t.C:
		case <-r.Context().Done():
			return nil
		case <-l.serving.Done():
			return nil
		}
		if offset, err = more(w, path, offset); err != nil || l.find(id) == nil {
			return nil // the client or the node went away
		}
	}
	return nil
}

// tail is the last lines of a file, of at most its last 4 MiB, and where it ends.
func tail(path string, lines int) (content []byte, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	begin := max(0, info.Size()-maxTail)
	content, err = io.ReadAll(io.NewSectionReader(f, begin, info.Size()-begin))
	if err != nil {
		return nil, 0, err
	}
	end = begin + int64(len(content))
	at := len(bytes.TrimSuffix(content, []byte("\n")))
	for range lines {
		if at <= 0 {
			return content, end, nil
		}
		at = bytes.LastIndexByte(content[:at], '\n')
		if at < 0 {
			return content, end, nil
		}
	}
	if lines == 0 {
		return nil, end, nil
	}
	return content[at+1:], end, nil
}

// more writes what was added to the file after offset; a file that has become
// shorter was rotated and is read from its beginning.
func more(w io.Writer, path string, offset int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil // not there yet, or between two lives
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return offset, nil
	}
	if info.Size() < offset {
		offset = 0
	}
	n, err := io.Copy(w, io.NewSectionReader(f, offset, info.Size()-offset))
	return offset + n, err
}
