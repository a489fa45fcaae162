package launcher

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// A log that has grown beyond logSize becomes the older half: at most twice
// that is kept of each.
const (
	logSize        = 16 << 20
	rotateInterval = 10 * time.Second
)

// rotate bounds the logs of all processes until ctx ends.
func (l *Launcher) rotate(ctx context.Context) {
	t := time.NewTicker(rotateInterval)
	defer t.Stop()
	for {
		for id := range l.store.get().Nodes {
			for _, name := range []string{nodeLog, planeLog} {
				if err := rotateFile(filepath.Join(l.nodeDir(id), name), logSize); err != nil && !errors.Is(err, fs.ErrNotExist) {
					l.log.Warn("log is not rotated", zap.String("node", id), zap.Error(err))
				}
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// rotateFile copies a file that is larger than limit to path.1 and empties it.
// The process keeps its descriptor, which appends, and outlives the launcher:
// so it is emptied and not renamed. A line that is printed between the last
// read and the cut, microseconds, is lost.
func rotateFile(path string, limit int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() <= limit {
		return err
	}
	old, err := os.OpenFile(path+".1.new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer old.Close()
	// The launcher may have been away for long: only the newest part is kept.
	if info, err := f.Stat(); err == nil && info.Size() > 2*limit {
		if _, err := f.Seek(-2*limit, io.SeekEnd); err != nil {
			return err
		}
	}
	for { // until nothing was added while the rest was copied
		n, err := io.Copy(old, f)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	return os.Rename(path+".1.new", path+".1")
}
